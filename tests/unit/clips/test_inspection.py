"""Looking at clips again: hands and writing over faces, fingerprints, and what is done with a clip that was there before."""

from concurrent.futures import ThreadPoolExecutor

import cv2
import matplotlib
import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw, ImageFont
from scipy.signal import lfilter

from talking.clips import captions, duplicates, fingerprints, gates, inspection, understanding, unseen
from talking.core import arrays, keypoints, schemas, tables
from talking.core.errors import InputError
from talking.video import encoding, media

SIZE = (360, 640)
FACE = np.array([260.0, 80, 360, 210])


def scene(seed: int) -> np.ndarray:
    """A picture with shapes of every size and no writing."""
    noise = np.random.default_rng(seed).uniform(0, 255, (9, 16, 3)).astype(np.float32)
    picture = cv2.resize(noise, SIZE[::-1], interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
    cv2.ellipse(picture, (310, 145), (50, 65), 0, 0, 360, (200, 160, 140), -1)
    return picture


def with_caption(picture: np.ndarray, y: int) -> np.ndarray:
    """The picture with a caption whose letters begin at row y."""
    image = Image.fromarray(picture)
    font = ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans-Bold.ttf", 22)
    ImageDraw.Draw(image).text(
        (150, y), "nobody told me about that", font=font, fill="white", stroke_width=2, stroke_fill="black"
    )
    return np.asarray(image)


@pytest.fixture(scope="module")
def writing():
    return captions.detector()


def test_a_caption_before_a_face_covers_what_it_covers(writing) -> None:
    written = with_caption(scene(1), 180)
    faces = np.stack([FACE, FACE - [0, 100, 0, 100], np.full(4, np.nan)])
    share = captions.covered(written, faces, writing)
    assert 0.08 < share[0] < 0.25 and share[1:].tolist() == [0, 0]
    assert captions.covered(scene(1), faces, writing).tolist() == [0, 0, 0]


def test_writing_behind_a_head_is_no_caption(writing) -> None:
    written = with_caption(scene(1), 120)
    assert captions.covered(written, FACE[None], writing)[0] > 0.03
    head = cv2.ellipse(np.zeros(SIZE, np.uint8), (310, 145), (50, 65), 0, 0, 360, 1, -1)[..., None]
    behind = np.where(head, scene(1), written)
    assert captions.covered(behind, FACE[None], writing)[0] == 0


def test_hands_count_over_whose_face_they_lie_whoever_owns_them() -> None:
    points, scores = np.zeros((4, 2, 133, 2)), np.zeros((4, 2, 133))
    faces = np.tile(np.array([[100.0, 100, 200, 220], [400, 100, 500, 220]]), (4, 1, 1))

    def lay(frame: int, owner: int, hand: slice, at: tuple[float, float], count: int) -> None:
        points[frame, owner, hand][:] = (300, 330)
        scores[frame, owner, hand] = 0.9
        points[frame, owner, hand.start : hand.start + count] = at

    lay(0, 0, keypoints.LEFT_HAND, (150, 150), 8)
    lay(1, 0, keypoints.RIGHT_HAND, (450, 150), 21)
    lay(2, 1, keypoints.RIGHT_HAND, (450, 150), 4)
    points[3, 0, keypoints.LEFT_HAND] = (150, 150)  # of score 0: absent
    over = inspection.hands_over_faces(points, scores, faces)
    assert over.tolist() == [[True, False], [False, True], [False, False], [False, False]]


@pytest.fixture(scope="module")
def of_people():
    return unseen.segmenter()


def test_threads_that_segment_at_once_all_find_the_same(of_people) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (90, 160, 3), dtype=np.uint8)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: unseen.segmenter()(picture), range(8)))
    assert all(np.array_equal(one, of_people(picture)) for one in found)


def test_a_moderator_who_is_seen_from_behind_is_noticed(shared, of_people) -> None:
    _, picture = next(media.frames_at(shared / "data/real/debate_wide.mp4", [370]))
    debaters = np.array([[203.0, 252, 256, 317], [1616, 269, 1672, 330]])
    assert unseen.shows_unseen(picture, debaters, of_people)
    picture[600:] = 0  # without the moderator
    assert not unseen.shows_unseen(picture, debaters, of_people)


def test_two_whose_faces_are_found_explain_all_people_and_one_alone_does_not(shared, of_people) -> None:
    _, picture = next(media.frames_at(shared / "data/real/two_in_turn.mp4", [100]))
    both = np.array([[182.0, 114, 323, 290], [619, 89, 778, 281]])
    assert not unseen.shows_unseen(picture, both, of_people)
    assert unseen.unseen_area(of_people(picture) > 0.5, both[:1]) > 3
    assert not unseen.shows_unseen(picture, np.full((2, 4), np.nan), of_people)


def test_people_that_no_face_explains_are_measured_in_face_areas() -> None:
    faces, people = np.array([[40.0, 20, 50, 30]]), np.zeros((100, 200), dtype=bool)
    people[12:34, 36:54] = people[34:, 25:65] = True
    assert unseen.unseen_area(people, faces) == 0
    people[60:66, 65:120] = True  # an arm
    assert unseen.unseen_area(people, faces) == 0
    people[50:, 140:170] = True  # somebody else
    assert unseen.unseen_area(people, faces) == pytest.approx(15, abs=0.5)
    assert unseen.unseen_area(people, np.vstack([faces, [[150.0, 56, 160, 66]]])) == 0


def talk(seed: int, seconds: float) -> np.ndarray:
    """Sound whose pitches come and go as those of speech do."""
    rng = np.random.default_rng(seed)
    size, out = round(seconds * media.SOUND_HZ), np.zeros(round(seconds * media.SOUND_HZ))
    for _ in range(24):
        pitch, sway = rng.uniform(250, 3200), lfilter([0.0004], [1, -0.9996], rng.normal(size=size))
        level = np.maximum(0, lfilter([0.0008], [1, -0.9992], rng.normal(size=size)))
        out += level * np.sin(2 * np.pi * np.cumsum(pitch * (1 + 2 * sway)) / media.SOUND_HZ)
    return (0.2 * out / np.abs(out).max()).astype(np.float32)


def prints(samples: np.ndarray) -> np.ndarray:
    margin = fingerprints.MARGIN_FRAMES * media.SAMPLES_PER_FRAME
    whole = samples[: samples.size // media.SAMPLES_PER_FRAME * media.SAMPLES_PER_FRAME]
    return fingerprints.of_sound(np.pad(whole, margin))


def test_sound_is_known_again_when_it_is_quieter_shifted_noisy_and_dull() -> None:
    samples = talk(1, 12)
    own = prints(samples)
    assert own.shape == (300,) and own.dtype == np.uint32
    # Half a frame late, half as loud, with noise 30 dB below and without its high tones.
    again = np.pad(samples, (media.SAMPLES_PER_FRAME * 10 + 320, 0))[: samples.size] * 0.5
    again = lfilter([0.4], [1, -0.6], again + np.random.default_rng(2).normal(0, 0.001, again.size)).astype(np.float32)
    other = prints(talk(3, 12))
    assert fingerprints.sound_bit_error(prints(again)[20:], own[10:-10]) < 0.15
    assert fingerprints.sound_bit_error(other, own) > 0.4


def test_a_click_moves_the_fingerprints_around_its_frame() -> None:
    samples = talk(4, 8)
    clicked = samples.copy()
    clicked[100 * 640 + 320] += 0.9
    moved = np.flatnonzero(prints(samples) != prints(clicked))
    assert moved.size and moved.mean() == pytest.approx(100, abs=1.5)
    assert moved.min() >= 86 and moved.max() <= 114


def test_silence_has_no_fingerprint() -> None:
    samples = talk(5, 4)
    samples[40 * 640 :] = 1e-5
    found = prints(samples)
    assert (found[40:] == 0).all() and (found[:38] > 0).mean() > 0.8
    assert np.isnan(fingerprints.sound_bit_error(found[50:60], found[50:60]))


def test_a_picture_is_known_again_when_it_is_smaller_brighter_and_coarser() -> None:
    own = fingerprints.of_picture(scene(1))
    small = cv2.resize(scene(1), (240, 136), interpolation=cv2.INTER_AREA)
    _, coarse = cv2.imencode(".jpg", small.clip(0, 230) + 20, [cv2.IMWRITE_JPEG_QUALITY, 40])
    again = fingerprints.of_picture(cv2.imdecode(coarse, cv2.IMREAD_COLOR))
    other = fingerprints.of_picture(scene(2))
    assert fingerprints.picture_bits(np.array([own]), np.array([again])) <= 8
    assert fingerprints.picture_bits(np.array([own]), np.array([other])) > 20


def clip(samples: np.ndarray, start_s: float, seconds: float, picture: int) -> tuple[np.ndarray, np.ndarray]:
    """The fingerprints of sound and pictures of a piece."""
    first = round(start_s * media.SOUND_HZ)
    part = samples[first : first + round(seconds * media.SOUND_HZ)]
    return prints(part), np.full(int(np.ceil(seconds)), fingerprints.of_picture(scene(picture)))


def library(**videos: dict[str, tuple]) -> tuple[list[str], dict[str, duplicates.Prints]]:
    of = {
        video: duplicates.Prints(list(clips), [c[0] for c in clips.values()], [c[1] for c in clips.values()])
        for video, clips in videos.items()
    }
    return list(of), of


@pytest.mark.slow
def test_clips_that_show_the_same_are_found_and_no_others() -> None:
    one, two = talk(1, 40), talk(2, 40)
    videos, of = library(
        a={"a1": clip(one, 0, 10, 1), "a2": clip(one, 10, 10, 1)},
        b={"b1": clip(two, 0, 10, 2)},
        # Published again, cut elsewhere, a third of a frame out of step.
        c={"c1": clip(one, 2.013, 6, 1), "c2": clip(one, 25, 8, 1)},
        # The sound of the first before other pictures, the pictures of the first to another sound.
        d={"d1": clip(one, 1, 8, 3), "d2": clip(two, 20, 8, 1)},
        # Hardly more than an end in common.
        e={"e1": clip(one, 17.5, 10, 1)},
        f={"f1": clip(one, 11, 8, 1)},
    )  # fmt: skip
    found = duplicates.find(videos, of.__getitem__).set_index("clip")
    assert found["duplicate_of"].to_dict() == {"c1": "a1", "f1": "a2"}
    assert found.loc["c1", "offset_frames"] == pytest.approx(50, abs=1)
    assert found.loc["c1", "overlap_share"] == 1 and found.loc["c1", "sound_bit_error"] < 0.2
    assert found["video"].to_dict() == {"c1": "c", "f1": "f"}
    loose = duplicates.Settings(max_picture_bits=64)
    assert duplicates.find(videos, of.__getitem__, loose).set_index("clip")["duplicate_of"]["d1"] == "a1"


def test_a_copy_of_a_copy_is_a_copy_of_the_first() -> None:
    one = talk(6, 12)
    videos, of = library(a={"a1": clip(one, 0, 10, 1)}, b={"b1": clip(one, 0.02, 10, 1)}, c={"c1": clip(one, 1, 8, 1)})
    found = duplicates.find(videos, of.__getitem__)
    assert found[["clip", "duplicate_of"]].to_numpy().tolist() == [["b1", "a1"], ["c1", "a1"]]


def test_without_clips_there_are_no_duplicates() -> None:
    videos, of = library(a={}, b={})
    assert duplicates.find(videos, of.__getitem__).empty
    assert duplicates.find([], of.__getitem__).empty


@pytest.fixture
def video(tmp_path):
    """Four seconds with two faces, the first under a caption in the last two, and a hand over the second in half of the frames."""
    pictures = (with_caption(scene(1), 180) if frame >= 50 else scene(1) for frame in range(100))
    samples = talk(8, 4)
    encoding.encode(tmp_path / "v.mp4", pictures, samples)
    encoding.write_sound(tmp_path / "v.wav", samples)
    boxes = {4: FACE, 7: np.array([450.0, 60, 530, 150])}
    rows = [(track, frame, *box) for track, box in boxes.items() for frame in range(100)]
    tracks = pd.DataFrame(rows, columns=["track", "frame", "x1", "y1", "x2", "y2"])
    tracks = tracks.assign(detected=True, confidence=0.9)
    points, scores = np.zeros((100, 2, 133, 2), np.float32), np.zeros((100, 2, 133), np.float32)
    points[:50, 0, keypoints.LEFT_HAND], scores[:50, 0, keypoints.LEFT_HAND] = (490, 100), 0.8
    arrays.write(
        tmp_path / "poses.npz", [("s_v_000000to000100/keypoints", points), ("s_v_000000to000100/scores", scores)]
    )
    candidates = pd.DataFrame(
        {"clip": ["s_v_000000to000100", "other"], "candidate": [True, False], "start_frame": 0, "end_frame": [100, 3],
         "tracks": [[4, 7], []], "person_tracks": [[[4], [7]], []], "bystander_tracks": [[], []]}
    )  # fmt: skip
    return tmp_path, candidates, tracks


def test_a_clip_is_measured_and_its_gates_say_why_it_goes(video) -> None:
    folder, candidates, tracks = video
    found = inspection.inspect(folder / "v.mp4", folder / "v.wav", candidates, tracks, folder / "poses.npz")
    tables.write("inspections", found, folder / "i.parquet")
    [row] = tables.read("inspections", folder / "i.parquet").to_dict("records")
    assert (row["hand_over_face_share"], row["caption_over_face_share"]) == (0.5, 0.5)
    assert row["unseen_person_share"] == 0
    assert len(row["sound_hashes"]) == 100 and len(row["picture_hashes"]) == 4
    np.testing.assert_array_equal(row["sound_hashes"], prints(media.sound(folder / "v.wav", 0, 100)))
    whole = pd.DataFrame(columns=schemas.schema("candidates").names)
    whole = pd.concat([whole, candidates.assign(num_people=[2, 1], duration_s=[8.0, 8.0], dissolve=False)])
    measured = pd.DataFrame({"clip": found["clip"]}, columns=schemas.schema("qualities").names)
    measured = measured.fillna({"num_talkers": 2, "speaking_share": 0.5})
    words = understanding.measure(
        candidates[candidates["candidate"]], tables.empty("transcript"), tables.empty("pieces")
    )
    chosen = gates.select(whole, measured, found, words)
    assert chosen["rejected_by"].tolist() == [
        "max_hand_over_face_share,max_caption_over_face_share",
        "min_num_people",
    ]
    patient = gates.Settings(max_hand_over_face_share=0.5, max_caption_over_face_share=0.5)
    assert gates.select(whole, measured, found, words, patient)["kept"].tolist() == [True, False]


def test_poses_or_inspections_of_other_clips_are_named(video) -> None:
    folder, candidates, tracks = video
    with pytest.raises(InputError, match="has no poses of clip moved"):
        inspection.inspect(
            folder / "v.mp4", folder / "v.wav", candidates.assign(clip="moved"), tracks, folder / "poses.npz"
        )
    with pytest.raises(InputError, match="inspections are of other clips"):
        gates.select(candidates, candidates[["clip"]][:1], tables.empty("inspections"), candidates)


def test_a_video_without_candidates_is_not_looked_at(tmp_path) -> None:
    found = inspection.inspect("none.mp4", "none.wav", tables.empty("candidates"), tables.empty("tracks"), "none.npz")
    assert found.empty and list(found.columns) == schemas.schema("inspections").names


@pytest.mark.slow
def test_the_share_of_seconds_with_an_unseen_person_is_a_quality_with_a_gate(tmp_path, shared) -> None:
    source, start, end = shared / "data/real/debate_wide.mp4", 300, 450
    pictures = (picture if n < 75 else np.where(np.arange(1080)[:, None, None] < 600, picture, 0).astype(np.uint8)
                for n, picture in enumerate(media.frames(source, start, end)))  # fmt: skip
    encoding.encode(tmp_path / "v.mp4", pictures, np.zeros((end - start) * media.SAMPLES_PER_FRAME, np.float32))
    encoding.write_sound(tmp_path / "v.wav", np.zeros((end - start) * media.SAMPLES_PER_FRAME, np.float32))
    boxes = {0: [203.0, 252, 256, 317], 1: [1616.0, 269, 1672, 330]}
    # The second debater turns away for a second, which makes nobody unseen.
    rows = [(t, f, *box) for t, box in boxes.items() for f in range(end - start) if t == 0 or not 95 <= f < 120]
    tracks = pd.DataFrame(rows, columns=["track", "frame", "x1", "y1", "x2", "y2"])
    candidates = pd.DataFrame(
        {"clip": ["c"], "candidate": True, "start_frame": 0, "end_frame": end - start, "num_people": 2, "duration_s": 6.0,
         "dissolve": False, "tracks": [[0, 1]], "person_tracks": [[[0], [1]]], "bystander_tracks": [[]]},
    )  # fmt: skip
    poses = np.zeros((end - start, 2, 133, 3), np.float32)
    arrays.write(tmp_path / "poses.npz", [("c/keypoints", poses[..., :2]), ("c/scores", poses[..., 2])])
    found = inspection.inspect(
        tmp_path / "v.mp4",
        tmp_path / "v.wav",
        candidates,
        tracks.assign(detected=True, confidence=0.9),
        tmp_path / "poses.npz",
    )
    assert found["unseen_person_share"].tolist() == [0.5]
    whole = pd.concat([pd.DataFrame(columns=schemas.schema("candidates").names), candidates])
    measured = pd.DataFrame({"clip": ["c"], "num_talkers": 2, "speaking_share": 0.5})
    measured = measured.reindex(columns=schemas.schema("qualities").names)
    words = understanding.measure(candidates, tables.empty("transcript"), tables.empty("pieces"))
    for most, reason in ((1.0, ""), (0.4, "max_unseen_person_share")):
        chosen = gates.select(whole, measured, found, words, gates.Settings(max_unseen_person_share=most))
        assert chosen["rejected_by"].tolist() == [reason]
