"""Identities: embeddings of filmed faces, clustering within and across videos, faces seen together, scale."""

import cv2
import numpy as np
import pandas as pd
import pytest

from talking.core import arrays, tables
from talking.faces import embedding, identities, kept, landmarks
from talking.video import encoding, media, parts

SAME = embedding.SAME_PERSON["dlib"]
DIMENSIONS = embedding.DIMENSIONS["dlib"]


def directions(rng: np.random.Generator, persons: int) -> np.ndarray:
    """Unit vectors of different persons, far from each other."""
    vectors = rng.normal(size=(persons, DIMENSIONS))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def around(rng: np.random.Generator, vectors: np.ndarray, spread: float = 0.1) -> np.ndarray:
    """Other pictures of the same persons: unit vectors at a cosine distance of about `spread`²/2."""
    noise = rng.normal(size=vectors.shape) / np.sqrt(vectors.shape[1])
    moved = vectors + spread * noise
    return moved / np.linalg.norm(moved, axis=1, keepdims=True)


def tracks_of(spans: dict[int, tuple[int, int]]) -> pd.DataFrame:
    """The `tracks` table of tracks with these frames, each beside the others."""
    rows = [(t, f) for t, (start, end) in spans.items() for f in range(start, end)]
    table = pd.DataFrame(rows, columns=["track", "frame"])
    left = 100.0 * table["track"]
    return table.assign(shot=0, x1=left, y1=0.0, x2=left + 80.0, y2=90.0, detected=True, confidence=0.9)


def embeddings_of(vectors: dict[int, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays of an embeddings file."""
    return {
        "track": np.array(list(vectors), dtype=np.int32),
        "embedding": np.array(list(vectors.values()), dtype=np.float32).reshape(-1, DIMENSIONS),
        "faces": np.full(len(vectors), 8, dtype=np.int32),
        "same_person": np.array([SAME]),
    }


def test_the_same_face_across_shots_is_one_person_and_the_cast_are_different_ones(shared, tmp_path) -> None:
    # Frames of the two-shot, the close-up and the three-shot of the film.
    chosen = [0, 60, 200, 240, 260, 330]
    video = tmp_path / "v.mp4"
    encoding.encode(video, (next(media.frames(shared / "data/filmed/sample.mp4", f, f + 1)) for f in chosen))
    truth = pd.read_csv(shared / "data/filmed/sample_boxes.csv").query("visible >= 0.9")
    table = pd.concat([truth[truth["frame"] == frame].assign(frame=i, shot=i // 2) for i, frame in enumerate(chosen)])
    person_of_track = dict(enumerate(table.groupby(["shot", "person"]).groups))
    number = {key: t for t, key in person_of_track.items()}
    track = [number[key] for key in zip(table["shot"], table["person"], strict=True)]
    tracks = table.assign(track=track, detected=True, confidence=0.9).reset_index(drop=True)
    marked = landmarks.mark(video, tracks, landmarks.Settings())
    found = embedding.embed(tracks, marked, embedding.Settings())
    assert found["track"].tolist() == sorted(person_of_track)
    np.testing.assert_allclose(np.linalg.norm(found["embedding"], axis=1), 1, atol=1e-5)
    files = [tmp_path / f"v.{part}.npz" for part in parts.names(2)]
    for file, part in zip(files, parts.names(2), strict=True):
        arrays.write(file, embedding.embed(tracks, marked, embedding.Settings(), part).items())
    joined = parts.joined_embeddings(files)
    assert joined.keys() == found.keys()
    for name, array in found.items():
        np.testing.assert_array_equal(joined[name], array, err_msg=name)
    arrays.write(files[0], [])
    assert 0 < len(parts.joined_embeddings(files)["track"]) < len(found["track"])
    persons = identities.cluster_tracks(found, tracks, SAME)
    names = {t: name for t, (_, name) in person_of_track.items()}
    assert len({(names[t], p) for t, p in persons.items()}) == len(set(names.values())) == 3


def marks_of(count: int) -> dict[str, np.ndarray]:
    """What landmarks say of faces that were all kept."""
    return {
        "yaw": np.zeros(count),
        "pitch": np.zeros(count),
        "blur": np.full(count, 100.0),
        "face_row": np.arange(count),
    }


def test_best_faces_are_chosen_and_spread() -> None:
    marked = marks_of(12) | {"yaw": np.full(12, 30.0)}
    marked["yaw"][[1, 4, 11]] = 0
    chosen = embedding.choose(tracks_of({0: (0, 12)}), marked, embedding.Settings(faces_per_track=4))
    assert {1, 4, 11} <= set(chosen.tolist())
    assert len(chosen) == 4


@pytest.mark.parametrize("change", ["small", "turned", "blurred"])
def test_faces_that_tell_nothing_are_not_embedded(change: str) -> None:
    tracks, marked = tracks_of({0: (0, 10)}), marks_of(10)
    assert len(embedding.choose(tracks, marked, embedding.Settings())) == 8
    if change == "small":
        tracks[["x2", "y2"]] = 20.0
    elif change == "turned":
        marked["yaw"][:] = 70
    else:
        marked["blur"][:] = 2
    assert len(embedding.choose(tracks, marked, embedding.Settings())) == 0


def test_of_each_span_of_a_track_the_best_face_is_kept_as_it_was_filmed() -> None:
    tracks = tracks_of({0: (0, 60), 1: (0, 5)})
    tracks.loc[tracks["frame"] == 4, "detected"] = False
    points = np.random.default_rng(0).uniform(0, 90, (len(tracks), 68, 2)) + tracks[["x1", "y1"]].to_numpy()[:, None]
    keeper = kept.Keeper(tracks)
    picture = np.random.default_rng(1).integers(0, 255, (8, 30, 3)).astype(np.uint8)
    picture = cv2.resize(picture, (300, 120), interpolation=cv2.INTER_CUBIC)
    for row in tracks.sort_values("frame").index:
        box, origin = tracks.loc[row, ["x1", "y1", "x2", "y2"]].to_numpy(float), np.array([20, 10])
        keeper.see(row, float(row % 5 == 3), picture[10:, 20:], box, origin)
    found = keeper.arrays() | {"points": points}
    assert found["face_row"].tolist() == [3, *range(8, 60, 5), 60, 61, 62, 63]
    assert len(found["face"]) == found["face_end"][-1]
    for number, row in enumerate(found["face_row"]):
        face, at = kept.face(found, number)
        corner = np.round(points[row] - at).astype(int)
        assert (np.ptp(corner, axis=0) == 0).all()
        # What lies before the part of the picture repeats its edge.
        x, y = np.maximum(corner[0], (20, 10))
        inside = face[y - corner[0, 1] :, x - corner[0, 0] :][:60, :60]
        assert np.abs(inside.astype(int) - picture[y : y + 60, x : x + 60]).mean() < 4


def test_a_large_face_is_kept_smaller_with_its_points() -> None:
    tracks = tracks_of({0: (0, 1)}).assign(x1=100.0, y1=100.0, x2=400.0, y2=420.0)
    picture = np.zeros((700, 700, 3), np.uint8)
    cv2.circle(picture, (250, 310), 20, (255, 255, 255), -1)
    keeper = kept.Keeper(tracks)
    keeper.see(0, 1.0, picture, np.array([100.0, 100, 400, 420]), np.zeros(2, int))
    face, at = kept.face(keeper.arrays() | {"points": np.full((1, 68, 2), (250.5, 310.5))}, 0)
    assert face.shape == (224, 224, 3)
    y, x = np.argwhere(face[..., 0] > 128).mean(axis=0) + 0.5
    assert (x, y) == pytest.approx(at[0], abs=0.5)


def test_tracks_of_one_video() -> None:
    rng = np.random.default_rng(0)
    ann, bob = directions(rng, 2)
    vectors = {0: ann, 1: bob, 3: around(rng, ann[None])[0], 4: around(rng, bob[None])[0]}
    spans = {0: (0, 50), 1: (0, 50), 2: (10, 20), 3: (50, 90), 4: (60, 90)}
    assert identities.cluster_tracks(embeddings_of(vectors), tracks_of(spans), SAME) == {0: 0, 1: 1, 2: 2, 3: 0, 4: 1}


def test_faces_seen_together_are_different_people_however_alike() -> None:
    rng = np.random.default_rng(0)
    twin = directions(rng, 1)
    vectors = {0: twin[0], 1: around(rng, twin, 0.01)[0], 2: around(rng, twin, 0.01)[0]}
    spans = {0: (0, 50), 1: (49, 80), 2: (90, 99)}
    persons = identities.cluster_tracks(embeddings_of(vectors), tracks_of(spans), SAME)
    assert persons[0] != persons[1]
    assert persons[2] in (persons[0], persons[1])


def test_persons_across_videos_are_numbered_stably() -> None:
    rng = np.random.default_rng(1)
    ann, bob, eve = directions(rng, 3)
    videos = {
        "b": ({0: ann, 1: bob}, {0: (0, 30), 1: (0, 30)}),
        "a": ({0: around(rng, bob[None])[0], 2: eve}, {0: (0, 30), 1: (0, 9), 2: (40, 60)}),
        "empty": ({}, {}),
        "c": ({0: around(rng, eve[None])[0]}, {0: (0, 30)}),
    }

    def read(video: str) -> tuple:
        vectors, spans = videos[video]
        return embeddings_of(vectors), tracks_of(spans)

    found = identities.cluster(list(videos), read, identities.Settings())
    assert list(found.itertuples(index=False, name=None)) == [
        ("b", 0, "p000001"),
        ("b", 1, "p000002"),
        ("a", 0, "p000002"),
        ("a", 1, "p000003"),
        ("a", 2, "p000004"),
        ("c", 0, "p000004"),
    ]
    fewer = identities.cluster(["b", "a"], read, identities.Settings())
    pd.testing.assert_frame_equal(fewer, found[found["video"] != "c"])


def test_two_of_one_video_seen_together_stay_apart_across_videos() -> None:
    rng = np.random.default_rng(2)
    twin = directions(rng, 1)

    def read(video: str) -> tuple:
        near = around(rng, np.repeat(twin, 2, axis=0), 0.01)
        return embeddings_of(dict(enumerate(near))), tracks_of({0: (0, 9), 1: (0, 9)})

    found = identities.cluster(["a", "b"], read, identities.Settings())
    assert found.groupby("video")["person"].nunique().tolist() == [2, 2]
    assert found["person"].nunique() == 2


def test_no_videos_with_faces_give_an_empty_table(tmp_path) -> None:
    found = identities.cluster(["a"], lambda _: (embeddings_of({}), tables.empty("tracks")), identities.Settings())
    tables.write("identities", found, tmp_path / "identities.parquet")
    assert tables.read("identities", tmp_path / "identities.parquet").empty


def test_groups_of_many_are_those_that_were_made() -> None:
    rng = np.random.default_rng(3)
    persons = np.repeat(np.arange(400), 5)
    labels = identities.group(around(rng, directions(rng, 400)[persons], 0.2), [], SAME)
    assert labels.tolist() == persons.tolist()


def test_a_chain_too_long_for_memory_is_cut(monkeypatch) -> None:
    monkeypatch.setattr(identities, "_MOST_AT_ONCE", 10)
    rng = np.random.default_rng(4)
    persons = np.repeat(np.arange(6), 4)
    # Faces half-way between the persons hang them all together.
    centres = directions(rng, 6) * 0.35 + directions(rng, 1)
    vectors = around(rng, (centres / np.linalg.norm(centres, axis=1, keepdims=True))[persons], 0.02)
    labels = identities.group(vectors, [], SAME)
    assert labels.tolist() == persons.tolist()


def test_pairs_seen_together_are_found_in_one_sweep() -> None:
    rng = np.random.default_rng(5)
    spans = {
        t: (int(s), int(s + n))
        for t, (s, n) in enumerate(zip(rng.integers(0, 300, 60), rng.integers(1, 40, 60), strict=True))
    }
    slow = {(a, b) for a in spans for b in spans if a < b and spans[a][0] < spans[b][1] and spans[b][0] < spans[a][1]}
    assert identities.seen_together(tracks_of(spans)) == (slow, set())


def test_a_face_that_was_once_detected_twice_stays_one_person() -> None:
    rng = np.random.default_rng(6)
    vectors = around(rng, directions(rng, 1).repeat(200, axis=0))
    spans = {t: (20 * t, 20 * t + 15) for t in range(199)} | {199: (1000, 1012)}
    tracks = tracks_of(spans)
    # The last track lies in the box of another one that is there at the same time, a little smaller.
    tracks.loc[tracks["track"] == 199, ["x1", "x2"]] = [5005.0, 5070.0]
    apart, doubles = identities.seen_together(tracks)
    assert (apart, doubles) == (set(), {(50, 199)})
    persons = identities.cluster_tracks(embeddings_of(dict(enumerate(vectors))), tracks, SAME)
    assert set(persons.values()) == {0}


def people_of(rows: list[tuple[int, int, list[int], int, int, str]]) -> pd.DataFrame:
    """What a `persons` table says of person, shot, tracks, first frame, frame past the last one and role."""
    return pd.DataFrame(rows, columns=["person", "shot", "tracks", "start_frame", "end_frame", "role"])


def test_persons_of_other_shots_are_found_again_and_what_is_no_face_is_nobody():
    rng = np.random.default_rng(4)
    anna, ben = directions(rng, 2)
    vectors = dict(enumerate(around(rng, np.array([anna, ben, anna, anna, ben]))))
    people = people_of(
        [
            (0, 0, [0, 2], 0, 100, "participant"),
            (1, 0, [1], 0, 100, "participant"),
            (2, 1, [3], 100, 200, "participant"),
            (3, 1, [4], 150, 180, "not_a_face"),
            (4, 1, [5], 100, 200, "bystander"),
        ]
    )
    found = identities.cluster_persons(people, embeddings_of(vectors), SAME)
    assert found == {0: 0, 2: 0, 1: 1, 3: 0, 5: 2}


def test_a_person_of_whom_no_track_has_an_embedding_is_a_stranger():
    assert identities.strangers({0: 0, 1: 0, 2: 1, 3: 2}, {"track": np.array([1, 3])}) == {1}


def test_persons_on_screen_together_are_never_one():
    rng = np.random.default_rng(5)
    [anna] = directions(rng, 1)
    vectors = dict(enumerate(around(rng, np.array([anna, anna]))))
    rows = [(0, 0, [0], 0, 100, "participant"), (1, 0, [1], 50, 150, "participant")]
    assert identities.cluster_persons(people_of(rows), embeddings_of(vectors), SAME) == {0: 0, 1: 1}
    rows[1] = (1, 0, [1], 100, 150, "participant")
    assert identities.cluster_persons(people_of(rows), embeddings_of(vectors), SAME) == {0: 0, 1: 0}
