"""Poses: decoding on heat maps of known points, what is marked as missing, and MediaPipe on pictures annotated by hand."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from talking import poses
from talking.core import arrays, keypoints, tables
from talking.core.errors import InputError
from talking.poses import mediapipe_133, mediapipe_networks, sapiens
from talking.poses.looks import Piece
from talking.scoring import poses as scoring
from talking.video import encoding, media

SIZE = (720, 1280)
PICTURE = np.array([0, 0, 1280, 720])
HEAD = ["nose", "left_eye", "right_eye"]
NO_POINTS = np.full((68, 2), np.nan)


def _index(*names: str) -> list[int]:
    return [keypoints.INDEX[name] for name in names]


def _body(x: float, y: float, face: float = 100) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return points (133, 2), scores (133,) and face box (4,) of an upper body whose face has its middle at x, y."""
    points, scores = np.zeros((keypoints.COUNT, 2)), np.zeros(keypoints.COUNT)
    places = {"nose": (0, 0.1), "left_eye": (0.2, -0.1), "right_eye": (-0.2, -0.1), "left_shoulder": (1.2, 1.5),
              "right_shoulder": (-1.2, 1.5), "left_wrist": (1.4, 3), "right_wrist": (-1.4, 3)}  # fmt: skip
    for name, (dx, dy) in places.items():
        points[keypoints.INDEX[name]], scores[keypoints.INDEX[name]] = (x + dx * face, y + dy * face), 0.9
    return points, scores, np.array([x - face / 2, y - face / 2, x + face / 2, y + face / 2])


def _piece(box, frames: int = 1, window=PICTURE) -> Piece:
    """Return a face that stays in its box (4,), or is in boxes (frames, 4), without points and alone."""
    boxes = np.broadcast_to(np.array(box, dtype=float), (frames, 4)).copy()
    unknown = np.full((frames, 68, 2), np.nan)
    return Piece(0, 0, boxes, unknown, np.array(window), np.zeros((frames, 0, 4)), goal=frames - 1)


def _shown(picture: np.ndarray) -> SimpleNamespace:
    return SimpleNamespace(rgb=lambda: picture)


def _checked(*people: tuple[np.ndarray, np.ndarray, np.ndarray]) -> dict[str, np.ndarray]:
    points, scores, faces = (np.stack(of)[None] for of in zip(*people, strict=True))
    return poses.checked(points, scores, faces, np.tile(PICTURE, (1, len(people), 1)), min_score=0.3)


def test_smoothing_lags_behind_nothing_and_invents_nothing() -> None:
    time = np.arange(100.0)
    points, scores = np.zeros((100, 1, 133, 2)), np.ones((100, 1, 133))
    points[..., 0], points[..., 1] = (100 + 5 * time)[:, None, None], (200 - 3 * time)[:, None, None]
    scores[40:44, 0, 7] = 0
    points[40:44, 0, 7] = 0
    # Even motion stays what it is, at the ends and beside a gap too.
    np.testing.assert_allclose(poses.smoothed(points, scores, 7), points, atol=1e-6)
    noisy = points + np.random.default_rng(0).normal(0, 2, points.shape)
    errors = [np.abs(poses.smoothed(noisy, scores, n) - points)[:, 0, :7].mean() for n in (0, 7, 15)]
    assert errors[0] > 1.5 * errors[1]
    assert errors[1] > errors[2]
    assert poses.smoothed(noisy, scores, 0) is noisy
    assert poses.smoothed(noisy[:3], scores[:3], 7).tolist() == noisy[:3].tolist()


def test_two_poses_in_their_own_faces_stay() -> None:
    left, right = _body(300, 200), _body(900, 200)
    found = _checked(left, right)
    assert found["valid"].tolist() == [[True, True]]
    np.testing.assert_allclose(found["keypoints"][0, 1], right[0], atol=1 / 32)
    # Points from 760 to 1040 and 190 to 500, face from 150 on.
    np.testing.assert_allclose(found["boxes"][0, 1], [760, 150, 1040, 500], atol=1 / 32)
    assert [found[name].dtype for name in ("keypoints", "scores", "boxes", "valid")] == [np.float32] * 3 + [bool]


def test_a_pose_outside_its_face_is_missing_and_nothing_of_it_stays() -> None:
    points, scores, _ = _body(300, 200)
    _, _, other_face = _body(900, 200)
    found = _checked((points, scores, other_face))
    assert not found["valid"].any() and not found["scores"].any()
    assert not found["keypoints"].any() and not found["boxes"].any()


def test_an_unseen_face_has_no_pose() -> None:
    points, scores, face = _body(300, 200)
    assert not _checked((points, scores, face * np.nan))["valid"].any()


def test_one_body_given_to_two_faces_stays_with_the_better_lying_head() -> None:
    own, wrong = _body(300, 200), _body(360, 200)
    shoulders = _index("left_shoulder", "right_shoulder")
    wrong[0][shoulders] = own[0][shoulders] + 5
    wrong[0][_index(*HEAD)] -= (25, 0)
    assert _checked(own, wrong)["valid"].tolist() == [[True, False]]
    assert _checked(wrong, own)["valid"].tolist() == [[False, True]]


def test_points_outside_the_picture_are_absent() -> None:
    points, scores, face = _body(100, 600)
    found = _checked((points, scores, face))
    gone = _index("right_shoulder", "left_shoulder", "left_wrist")
    assert found["valid"].all() and not found["scores"][0, 0, gone].any() and not found["keypoints"][0, 0, gone].any()
    assert found["boxes"][0, 0].tolist() == [50, 550, 150, 650]


def test_a_hand_stays_only_with_the_arm_it_hangs_on() -> None:
    left, right = _body(300, 200), _body(700, 200)
    hand = keypoints.LEFT_HAND
    for points, scores, _ in (left, right):
        points[hand] = left[0][keypoints.INDEX["left_wrist"]] + np.arange(21)[:, None]
        scores[hand] = 0.9
    found = _checked(left, right)["scores"][0]
    assert (found[0, hand] > 0.8).all() and not found[1, hand].any()


@pytest.mark.parametrize("sigma", [2.0, 6.0])
def test_sapiens_decoding_is_exact_at_any_place(sigma: float) -> None:
    rng = np.random.default_rng(3)
    points = rng.uniform(0, 1, (3, 133, 2)) * (sapiens.WIDTH - 1, sapiens.HEIGHT - 1)
    # The corners, a cell's middle and the border between two cells.
    points[0, :4] = [(0, 0), (sapiens.WIDTH - 1, sapiens.HEIGHT - 1), (400, 400), (402, 398)]
    heat = _heat_maps(points, sigma)
    found, scores = sapiens.decode(torch.from_numpy(heat.astype(np.float32)))
    assert np.abs(found - points).max() < 0.1
    assert scores.min() > 0.85 and scores.max() <= 1


def test_sapiens_decoding_bears_noise_and_empty_maps() -> None:
    rng = np.random.default_rng(4)
    points = rng.uniform(40, 700, (1, 133, 2))
    heat = 0.8 * _heat_maps(points, 6.0)
    found, scores = sapiens.decode(torch.from_numpy(heat + rng.normal(0, 0.005, heat.shape)))
    assert np.abs(found - points).mean() < 1
    np.testing.assert_allclose(scores, 0.8, atol=0.05)
    found, scores = sapiens.decode(torch.zeros(1, 133, 256, 192))
    assert np.isfinite(found).all() and not scores.any()


def _heat_maps(points: np.ndarray, sigma: float) -> np.ndarray:
    """Return heat maps (n, k, 256, 192): Gaussians whose first and last cells lie on the input's first and last pixels."""
    height, width = sapiens.HEIGHT // sapiens.STRIDE, sapiens.WIDTH // sapiens.STRIDE
    cells = points * ((width - 1) / (sapiens.WIDTH - 1), (height - 1) / (sapiens.HEIGHT - 1))
    across = np.exp(-((np.arange(width) - cells[..., :1]) ** 2) / (2 * sigma**2))
    down = np.exp(-((np.arange(height) - cells[..., 1:]) ** 2) / (2 * sigma**2))
    return down[..., :, None] * across[..., None, :]


def test_mirrored_points_are_those_of_the_other_side() -> None:
    twice = [sapiens.MIRRORED[i] for i in sapiens.MIRRORED]
    assert twice == list(range(keypoints.COUNT))
    pairs = {"nose": "nose", "left_wrist": "right_wrist", "right_small_toe": "left_small_toe", "face_0": "face_16",
             "face_8": "face_8", "face_30": "face_30", "face_36": "face_45", "face_48": "face_54", "face_60": "face_64",
             "left_hand_thumb_1": "right_hand_thumb_1"}  # fmt: skip
    assert [keypoints.NAMES[sapiens.MIRRORED[keypoints.INDEX[name]]] for name in pairs] == list(pairs.values())


class _ColourFinder(torch.nn.Module):
    """Stands for Sapiens: keypoint 0's heat is high where the picture is red, all others' where it is blue."""

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        small = torch.nn.functional.avg_pool2d(pictures, 4)
        red = torch.relu(small[:, 0:1] - small[:, 2:3])
        blue = torch.relu(small[:, 2:3] - small[:, 0:1])
        heat = torch.cat([red, blue.expand(-1, 132, -1, -1)], dim=1)
        return heat / heat.amax(dim=(2, 3), keepdim=True).clamp(min=1e-6)


@pytest.fixture
def scripted(tmp_path):
    path = tmp_path / "tiny_torchscript.pt2"
    torch.jit.script(_ColourFinder()).save(str(path))
    return path


@pytest.mark.parametrize(("flip", "window"), [(False, PICTURE), (True, PICTURE), (False, [90, 50, 1200, 700])])
def test_sapiens_finds_known_places_in_the_picture(scripted, flip: bool, window) -> None:
    red, blue = (440, 300), (700, 420)
    picture = np.full((*SIZE, 3), 110.0)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    for (x, y), channel in ((red, 0), (blue, 2)):
        picture[..., channel] += 140 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 10**2))
    picture = picture.round().astype(np.uint8)
    model, piece = sapiens.opened(scripted, batch=2, flip=flip, threads=1), _piece([500.0, 200, 600, 300], 3, window)
    for frame in range(3):
        model.look(_shown(picture), frame, [piece])
    model.flush()
    assert sorted(piece.found) == [0, 1, 2]
    for points, scores in piece.found.values():
        if not flip:
            # Averaging over 4 × 4 pixels, it sees places up to 1.5 px of its input away from where UDP's cells lie.
            # A mirrored nose is a nose, but this network's other points know no sides either.
            np.testing.assert_allclose(points[1:], np.broadcast_to(blue, (132, 2)), atol=1)
        np.testing.assert_allclose(points[0], red, atol=1)
        assert scores[0] > 0.5


def test_sapiens_without_its_file_says_what_to_do(tmp_path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        sapiens.opened(tmp_path / "none.pt2", 1, False, 1)
    (tmp_path / "text.pt2").write_text("no network")
    with pytest.raises(InputError, match="not a TorchScript"):
        sapiens.opened(tmp_path / "text.pt2", 1, False, 1)
    with pytest.raises(InputError, match="sapiens_weights"):
        poses.MODELS["sapiens"](poses.Settings(model="sapiens"), 1)


@pytest.mark.slow
def test_mediapipe_agrees_with_annotated_people(shared) -> None:
    annotated = scoring.read(shared / "data/pose", shared / "data/pose/test_coco_wholebody.json")
    found = scoring.score(annotated, poses.Settings())
    assert found["people"] == 11 and found["valid_poses"] >= 9
    assert found["valid_poses_of_marked_faces"] == found["marked_faces"] == 4
    assert found["sides_told"] >= 8 and found["sides_swapped"] == 0
    # In shares of the body's size; by COCO's own measure annotators differ by 0.03 at the eyes to 0.1 at the hips.
    assert found["body_error"]["keypoints"] > 100
    assert found["body_error"]["mean"] < 0.06 and found["body_error"]["median"] < 0.04
    # In shares of the face's size, of faces 25 px large: 0.08 are two pixels.
    assert found["face_error"]["mean"] < 0.08


def test_annotations_that_are_none_are_named(tmp_path) -> None:
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(InputError, match=r"a\.json holds no COCO-WholeBody"):
        scoring.read(tmp_path, tmp_path / "a.json")
    (tmp_path / "a.json").write_text(json.dumps({"images": [{"id": 1, "file_name": "none.jpg"}], "annotations": []}))
    with pytest.raises(InputError, match=r"none\.jpg is no picture"):
        scoring.read(tmp_path, tmp_path / "a.json")


def _two_people(shared) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Return tracks and landmarks of the first two seconds of the debate, whose speakers hardly move."""
    rows = [
        (track, 0, frame, *box, True, 0.9)
        for track, box in ((7, (255, 130, 430, 320)), (3, (845, 135, 1030, 345)))
        for frame in range(50)
    ]
    tracks = pd.DataFrame(rows, columns=["track", "shot", "frame", "x1", "y1", "x2", "y2", "detected", "confidence"])
    points = np.full((len(tracks), 68, 2), np.nan, dtype=np.float32)
    points[60] = np.random.default_rng(0).uniform(860, 1000, (68, 2)) * (1, 0.25)
    return tracks, {
        "track": tracks["track"].to_numpy(),
        "points": points,
        "score": np.where(np.arange(100) == 60, 0.75, 0.0),
    }


def _candidates(*spans: tuple[str, int, int, bool]) -> pd.DataFrame:
    wanted = pd.DataFrame(
        [
            {
                "clip": c,
                "start_frame": s,
                "end_frame": e,
                "person_tracks": [[7], [3]],
                "bystander_tracks": [],
                "candidate": y,
            }
            for c, s, e, y in spans
        ]
    )
    return tables.empty("candidates").reindex(range(len(spans))).assign(**{name: wanted[name] for name in wanted})


@pytest.fixture(scope="module")
def debate(shared, tmp_path_factory):
    video = tmp_path_factory.mktemp("debate") / "debate.mp4"
    pictures = (p for _, p in zip(range(50), media.frames(shared / "data/clips/debate_both.avi"), strict=False))
    encoding.encode(video, pictures)
    return video


def test_a_person_of_several_tracks_is_followed_and_absent_between_them(tmp_path, monkeypatch) -> None:
    encoding.encode(tmp_path / "v.mp4", [np.zeros((90, 160, 3), np.uint8)] * 30)
    rows = [
        (t, 0, f, {1: 10.0, 2: 20.0, 3: 60.0}[t], 10.0, {1: 18.0, 2: 28.0, 3: 68.0}[t], 20.0, True, 0.9)
        for t, a, b in [(1, 0, 10), (2, 16, 30), (3, 0, 30)]
        for f in range(a, b)
    ]
    tracks = pd.DataFrame(rows, columns=["track", "shot", "frame", "x1", "y1", "x2", "y2", "detected", "confidence"])
    marks = {"track": tracks["track"].to_numpy(), "points": np.full((54, 68, 2), np.nan), "score": np.zeros(54)}
    seen = {}

    class Model:
        def look(self, picture, frame, pieces) -> None:
            for piece in pieces:
                face = piece.face(frame)
                seen[frame] = face.box[0], *face.others[:, 0]
                piece.add(frame, *_body(*(face.box[:2] + face.box[2:]) / 2, 8)[:2])

        def flush(self) -> None:
            pass

    monkeypatch.setitem(poses.MODELS, "mediapipe", lambda settings, threads: Model())
    candidates = _candidates(("a", 5, 25, True)).assign(person_tracks=[[[1, 2]]], bystander_tracks=[[[3]]])
    settings = poses.Settings(mediapipe_every_frames=1)
    found = dict(poses.estimate(tmp_path / "v.mp4", candidates, tracks, marks, settings))
    # A piece is followed from its first frame on, as far as the clip reaches.
    assert seen == {f: (10.0, 60.0) for f in range(10)} | {f: (20.0, 60.0) for f in range(16, 25)}
    assert found["a/valid"][:, 0].tolist() == [True] * 5 + [False] * 6 + [True] * 9
    np.testing.assert_allclose(found["a/keypoints"][0, 0, 0], [14, 15.8], atol=1 / 16)


@pytest.mark.slow
def test_people_of_a_real_clip_keep_their_order_and_frames(shared, debate, tmp_path) -> None:
    tracks, landmarks = _two_people(shared)
    candidates = _candidates(("a", 5, 15, True), ("no", 15, 30, False), ("b", 8, 14, True), ("c", 40, 50, True))
    arrays.write(
        tmp_path / "poses.npz", poses.estimate(debate, candidates, tracks, landmarks, poses.Settings(), threads=2)
    )
    with np.load(tmp_path / "poses.npz", allow_pickle=False) as found:
        assert sorted({name.split("/")[0] for name in found.files}) == ["a", "b", "c"]
        assert found["a/keypoints"].shape == (10, 2, 133, 2) and found["b/valid"].shape == (6, 2)
        for clip in "abc":
            assert found[f"{clip}/valid"].all()
            nose = found[f"{clip}/keypoints"][:, :, keypoints.INDEX["nose"]]
            assert ((nose > (255, 130)) & (nose < (430, 320)))[:, 0].all()
            assert ((nose > (845, 135)) & (nose < (1030, 345)))[:, 1].all()
            shoulders = found[f"{clip}/keypoints"][:, :, _index("left_shoulder", "right_shoulder"), 0]
            # They face the camera: the person's own left is on the picture's right.
            assert (shoulders[..., 0] > shoulders[..., 1] + 100).all()
        # Row 60 of the tracks is track 3 in frame 10: the fifth frame of a, its second person.
        known = found["a/scores"][:, :, keypoints.FACE] > 0
        assert np.argwhere(known.any(-1)).tolist() == [[5, 1]]
        np.testing.assert_allclose(found["a/keypoints"][5, 1, keypoints.FACE], landmarks["points"][60], atol=1 / 32)


def test_nothing_wanted_gives_an_empty_file(tmp_path) -> None:
    (tmp_path / "failed.mp4").touch()
    nothing = {"track": np.zeros(0, int), "points": np.zeros((0, 68, 2)), "score": np.zeros(0)}
    named = poses.estimate(
        tmp_path / "failed.mp4", tables.empty("candidates"), tables.empty("tracks"), nothing, poses.Settings()
    )
    arrays.write(tmp_path / "poses.npz", named)
    with np.load(tmp_path / "poses.npz", allow_pickle=False) as found:
        assert found.files == []


def test_landmarks_of_other_tracks_are_refused(shared, tmp_path) -> None:
    tracks, landmarks = _two_people(shared)
    landmarks["track"] = landmarks["track"][::-1]
    with pytest.raises(InputError, match="landmarks"):
        list(poses.estimate(tmp_path, _candidates(("a", 0, 9, True)), tracks, landmarks, poses.Settings()))


def _followed(
    monkeypatch: pytest.MonkeyPatch, every_frames: int, places: list[float]
) -> tuple[list[int], np.ndarray, np.ndarray]:
    """Follow one person whose body is found at such places (x, px; NaN: not found); return the frames looked at, points and scores."""
    looked_at = []

    def look(models, picture, face, track, hands=None):
        frame = int(picture[0, 0, 0])
        looked_at.append(frame)
        points, scores, _ = _body(places[frame] if np.isfinite(places[frame]) else 0, 200)
        return points, scores * np.isfinite(places[frame])

    monkeypatch.setattr(mediapipe_133, "_look", look)
    monkeypatch.setattr(mediapipe_networks, "Networks", lambda: None)
    known = pd.Series(places).interpolate().to_numpy()
    piece = _piece(np.stack([known - 50, known * 0 + 150, known + 50, known * 0 + 250], axis=1), len(places))
    model = mediapipe_133.MediaPipe(1, every_frames)
    for frame in range(len(places)):
        model.look(_shown(np.full((2, 2, 3), frame, np.uint8)), frame, [piece])
    return sorted(looked_at), *piece.filled(np.arange(len(places)))


def test_frames_between_two_looks_are_interpolated_where_nobody_moves_far(monkeypatch: pytest.MonkeyPatch) -> None:
    # Slowly to the right by 4 px a frame, a face being 100 px; a jump; lost from frame 14 on.
    places = [300.0 + 4 * n for n in range(9)] + [500.0] * 5 + [np.nan] * 8
    frames, points, scores = _followed(monkeypatch, 4, places)
    # Around the jump between 8 and 9, and around the loss; nobody is looked for between two looks that found nobody.
    assert frames == [0, 4, 8, 9, 10, 12, 13, 14, 16, 20, 21]
    nose = keypoints.INDEX["nose"]
    np.testing.assert_allclose(points[:14, nose, 0], places[:14])
    assert not scores[14:].any() and scores[13, nose] == scores[1, nose] == round(0.9 * 256) / 256
    assert _followed(monkeypatch, 1, places)[0] == list(range(len(places)))


def test_fast_but_even_motion_takes_one_more_look(monkeypatch: pytest.MonkeyPatch) -> None:
    frames, points, _ = _followed(monkeypatch, 4, [300.0 + 30 * n for n in range(9)])
    assert frames == [0, 2, 4, 6, 8]
    np.testing.assert_allclose(points[:, keypoints.INDEX["nose"], 0], [300.0 + 30 * n for n in range(9)])


def test_a_hand_that_stays_or_is_out_of_sight_is_not_searched_for_between_two_looks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    searched = []

    def look(models, picture, face, track, hands=(True, True)):
        frame = int(picture[0, 0, 0])
        searched.append((frame, *hands))
        points, scores, _ = _body(300 + 60 * frame, 200)
        # The left hand moves with the body; the right one lies on a table until the last frame, from which on it is out of sight.
        points[keypoints.LEFT_HAND], scores[keypoints.LEFT_HAND] = [300 + 60 * frame, 500], 0.9
        points[keypoints.RIGHT_HAND], scores[keypoints.RIGHT_HAND] = [300 + frame, 500], 0.9 * (frame < 8)
        return points, scores

    monkeypatch.setattr(mediapipe_133, "_look", look)
    monkeypatch.setattr(mediapipe_networks, "Networks", lambda: None)
    x = 300 + 60 * np.arange(9.0)
    piece = _piece(np.stack([x - 50, x * 0 + 150, x + 50, x * 0 + 250], axis=1), 9)
    model = mediapipe_133.MediaPipe(1, 4)
    for frame in range(9):
        model.look(_shown(np.full((2, 2, 3), frame, np.uint8)), frame, [piece])
    assert searched[:5] == [(0, True, True), (4, True, True), (2, True, False), (8, True, True), (6, True, True)]
    # Where the right hand was found by one of two looks alone it is searched for; before that it stays.
    assert sorted(searched[5:]) == [(5, True, False), (7, True, True)]
    points, scores = piece.filled(np.arange(9))
    np.testing.assert_allclose(points[:5, keypoints.RIGHT_HAND][:, 0, 0], 300 + np.arange(5))
    assert (scores[:7, keypoints.RIGHT_HAND] > 0.8).all() and not scores[8, keypoints.RIGHT_HAND].any()


def test_hands_are_looked_for_only_at_wrists_that_are_seen_in_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_for = []
    places = {15: (0.3, 0.8, 0.9), 16: (1.2, 0.8, 0.9)}

    class Models:
        def body(self, picture, region):
            at = [SimpleNamespace(x=0.5, y=0.5, visibility=0.9) for _ in range(33)]
            for i, (x, y, visibility) in places.items():
                at[i] = SimpleNamespace(x=x, y=y, visibility=visibility)
            return SimpleNamespace(body=SimpleNamespace(landmark=at), next_region=region)

        def hand(self, side, picture, body):
            looked_for.append(side)
            return np.full((21, 2), 200.0)

    face = _piece([590, 310, 690, 410]).face(0)
    picture = np.zeros((*SIZE, 3), np.uint8)
    _, scores = mediapipe_133._look(Models(), picture, face, mediapipe_133._Track())
    assert looked_for == [0]
    assert (scores[keypoints.LEFT_HAND] == 0.9).all() and not scores[keypoints.RIGHT_HAND].any()


@pytest.mark.parametrize(("visibility", "starts"), [(0.8, 5), (0.95, 1)])
def test_a_body_beside_which_the_model_goes_astray_is_found_again_where_it_was(visibility: float, starts: int) -> None:
    box, face, picture = np.array([600.0, 200, 700, 300]), NO_POINTS, np.zeros((720, 1280, 3), np.uint8)
    runs = []

    class Models:
        def body(self, picture: np.ndarray, region) -> SimpleNamespace:
            """Find the body in one region only, and name another one as the next."""
            runs.append(region)
            is_there = abs(region.y_center * 720 - 650) < 1 and abs(region.width * 1280 - 1000) < 1
            at = SimpleNamespace(x=650 / 1280, y=(250 if is_there else 700) / 720, visibility=visibility)
            return SimpleNamespace(
                body=SimpleNamespace(landmark=[at] * 33),
                next_region=mediapipe_133._region(np.array([3, 0, 2]), box, (1280, 720)),
            )

    track = mediapipe_133._Track()
    assert mediapipe_133._body(Models(), picture, box, face, track) is not None
    searched = len(runs)
    # One that is seen well is not searched for from the other starts.
    assert searched == 3 * starts
    for _ in range(5):
        # What is kept of a track is all of it.
        track = mediapipe_133._Track.of(track.kept())
        assert mediapipe_133._body(Models(), picture, box, face, track) is not None
    assert len(runs) - searched == 5 * 2


def test_a_picture_shows_nobody_else_and_cannot_be_written_to() -> None:
    picture = np.random.default_rng(0).integers(1, 256, (400, 1000, 3), dtype=np.uint8)
    own, beside = np.array([500.0, 100, 580, 180]), np.array([800.0, 100, 880, 180])
    behind, before = np.array([600.0, 300, 620, 320]), np.array([40.0, 100, 200, 260])
    alone = mediapipe_133._alone(picture, own, np.stack([beside, behind, before]))
    expected = picture.copy()
    # The borders lie in the middle of two of one size, and at a third of the way to one twice as large.
    expected[:, 690:], expected[:, :400], expected[295:325, 595:625] = 0, 0, 0
    np.testing.assert_array_equal(alone, expected)
    assert not alone.flags.writeable
    # Nobody is near enough to be painted over, and the own head stays though another's covers it.
    np.testing.assert_array_equal(mediapipe_133._alone(picture, own, own[None]), picture)
    assert picture.min() > 0
