"""Previews and strips of a clip's folder whose boxes, words and speaking periods are known."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from talking.core import keypoints
from talking.dataset import preview
from talking.video import encoding, media

FRAMES, HEIGHT, WIDTH = 50, 360, 640
BOXES = [(100, 80, 200, 200), (400, 60, 520, 190)]
BYSTANDER = (560, 40, 600, 90)
# The left person speaks in the first half, the right one in the second.
SPEAK = [[0, 25], [25, 50]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("dataset") / "s_v_000000to000050"
    folder.mkdir()
    grey = np.full((HEIGHT, WIDTH, 3), 90, dtype=np.uint8)
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(FRAMES * media.SAMPLES_PER_FRAME) / media.SOUND_HZ)
    encoding.encode(folder / "video.mp4", [grey] * FRAMES, tone)
    encoding.write_sound(folder / "audio.wav", tone)
    people = [{"person": i, "track": i, "speak": [SPEAK[i]], "face_track": [BOXES[i]] * FRAMES} for i in range(2)]
    words = [_word("Hello", 0.1, 0.4, 0), _word("there", 0.5, 0.8, 0), _word("Grüße", 1.2, 1.6, 1)]
    speakers = {"clip": folder.name, "fps": 25, "num_frames": FRAMES, "people": people, "words": words}
    speakers["bystanders"] = [{"tracks": [9], "start": 30, "face_track": [BYSTANDER] * 5}]
    (folder / "speakers.json").write_text(json.dumps(speakers), encoding="utf-8")
    points, scores = np.zeros((FRAMES, 2, keypoints.COUNT, 2)), np.zeros((FRAMES, 2, keypoints.COUNT))
    points[:, 0, keypoints.FACE], scores[:, 0, keypoints.FACE] = (300, 300), 1
    np.savez(folder / "poses.npz", keypoints=points, scores=scores)
    return folder


def _word(word: str, start_s: float, end_s: float, person: int | None) -> dict:
    return {"word": word, "start_s": start_s, "end_s": end_s, "person": person}


def _is_green(colour: np.ndarray) -> bool:
    red, green, blue = colour.astype(int)
    return green > red + 50 and green > blue + 50


def _edge(picture: np.ndarray, person: int) -> np.ndarray:
    x1, y1, _, y2 = BOXES[person]
    return picture[(y1 + y2) // 2, x1]


@pytest.mark.parametrize("poses", [False, True])
def test_a_preview_shows_who_speaks_and_keeps_every_frame_and_the_sound(folder, tmp_path, poses: bool) -> None:
    clips = pd.DataFrame({"clip": [folder.name], "persons": [["p000001", "p000002"]]})
    preview.previews(clips, folder.parent, tmp_path / "v", preview.Settings(poses=poses, crf=5))
    video = tmp_path / "v" / f"{folder.name}.mp4"
    pictures = list(media.frames(video))
    assert len(pictures) == FRAMES
    assert pictures[0].shape[1] == WIDTH and pictures[0].shape[0] > HEIGHT
    assert [_is_green(_edge(pictures[10], person)) for person in (0, 1)] == [True, False]
    assert [_is_green(_edge(pictures[40], person)) for person in (0, 1)] == [False, True]
    # Subtitles stand near the bottom: while words are said, in white, and not between them.
    subtitles = [picture[HEIGHT - 30 : HEIGHT - 4].max() for picture in pictures]
    assert min(subtitles[3:20]) > 200 and min(subtitles[30:40]) > 200 and max(subtitles[:2]) < 120
    assert (pictures[20][300, 300] > 200).all() == poses
    assert _loudness(video) == pytest.approx(0.3 / np.sqrt(2), rel=0.1)


def _loudness(video: Path) -> float:
    import av

    with av.open(str(video)) as container:
        samples = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    return float(np.sqrt(np.mean(samples**2)))


def test_bars_span_the_clip_and_the_cursor_moves_through_it(folder, tmp_path) -> None:
    preview.preview(folder, tmp_path / "p.mp4", ["a", "b"], preview.Settings(crf=5))
    pictures = list(media.frames(tmp_path / "p.mp4"))
    panel = pictures[0][HEIGHT:]
    rows = [len(panel) // 4, 3 * len(panel) // 4]
    left, right = WIDTH // 8 + WIDTH // 4, WIDTH - WIDTH // 4
    assert [[_is_green(panel[row, x]) for x in (left, right)] for row in rows] == [[True, False], [False, True]]
    cursors = [int(np.argmax(picture[-4:, WIDTH // 8 :, 0].astype(int).mean(0))) for picture in pictures]
    assert cursors == sorted(cursors) and cursors[0] < 10 and cursors[-1] > WIDTH * 7 // 8 - 12


def test_a_strip_has_frames_of_all_the_clip_with_coloured_boxes(folder) -> None:
    strip = preview.strip(folder, n=4, height=180)
    assert strip.shape == (180, 4 * 320 + 3 * 3, 3)
    for i, speaking in enumerate([0, 0, 1, 1]):
        picture = strip[:, i * 323 : i * 323 + 320]
        x1, y1, _, y2 = (c // 2 for c in BOXES[speaking])
        assert _is_green(picture[(y1 + y2) // 2, x1])
        x1, y1, _, y2 = (c // 2 for c in BOXES[1 - speaking])
        assert np.ptp(picture[(y1 + y2) // 2, x1].astype(int)) < 40


def test_a_strip_of_a_clip_shorter_than_it_shows_each_frame_once(folder, tmp_path) -> None:
    for name in ("speakers.json", "audio.wav"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    encoding.encode(tmp_path / "video.mp4", [np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)] * 2)
    assert preview.strip(tmp_path, n=8, height=90).shape == (90, 2 * 160 + 3, 3)


def test_a_bystander_has_corners_and_who_is_away_no_box(folder, tmp_path) -> None:
    for name in ("video.mp4", "audio.wav"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    speakers = json.loads((folder / "speakers.json").read_text())
    speakers["people"][0]["face_track"][5:10] = [[None] * 4] * 5
    (tmp_path / "speakers.json").write_text(json.dumps(speakers))
    preview.preview(tmp_path, tmp_path / "p.mp4", ["a", "b"], preview.Settings(crf=5))
    pictures = list(media.frames(tmp_path / "p.mp4"))
    assert (
        _is_green(_edge(pictures[4], 0)) and not _is_green(_edge(pictures[7], 0)) and _is_green(_edge(pictures[12], 0))
    )
    x1, y1, _, y2 = BYSTANDER
    for frame, seen in ((29, False), (30, True), (34, True), (36, False)):
        corner, side = pictures[frame][y1, x1].astype(int), pictures[frame][(y1 + y2) // 2, x1].astype(int)
        assert (corner[2] > corner[0] + 60) == seen
        assert np.ptp(side) < 40


def test_subtitles_break_at_another_speaker_a_pause_and_when_long() -> None:
    words = [_word("a", 0, 0.2, 0), _word("b", 0.3, 0.5, 0), _word("c", 0.6, 0.7, None), _word("d", 2.5, 2.6, None)]
    assert preview.lines(words) == [(0, 0.5, 0, "a b"), (0.6, 0.7, None, "c"), (2.5, 2.6, None, "d")]
    many = [_word("seventeen-letters", 0.1 * i, 0.1 * i + 0.1, 0) for i in range(6)]
    assert [len(text.split()) for *_, text in preview.lines(many)] == [2, 2, 2]
    assert preview.lines([]) == []
