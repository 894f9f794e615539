"""Clips to look at: their labels burned into the pictures, as a video with sound or as a strip of a few frames.

Both read only the clip's folder in the data set.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from talking.core import cli, intervals
from talking.core.arrays import opened
from talking.core.atomic import atomic_folder
from talking.dataset import protect
from talking.poses.render import draw_poses
from talking.video import encoding, media

_SPEAKING, _LISTENING, _BYSTANDER = (60, 200, 90), (200, 200, 200), (90, 120, 220)
_PANEL, _CURSOR, _WHITE, _BLACK = (24, 26, 30), (255, 170, 40), (255, 255, 255), (0, 0, 0)
# Sizes as fractions of the picture's shorter side.
_BOX_WIDTH, _TEXT_SIZE, _BAR_HEIGHT = 0.004, 0.035, 0.045
# A subtitle ends at a change of speaker, at a pause or when it is this long; it stays a little after its last word.
_LINE_PAUSE_S, _LINE_LENGTH, _LINE_STAYS_S = 0.8, 48, 0.5


@dataclass
class Settings:
    """Settings of the previews."""

    poses: bool = cli.setting(False, "also draw skeletons")
    crf: int = cli.setting(23, "quality of the previews' pictures: x264's constant rate factor, lower is better")


@dataclass
class _Line:
    """A subtitle: what is said from `start_s` to `end_s` of the clip, and by whom."""

    start_s: float
    end_s: float
    person: int | None
    text: str


def preview(folder: Path, video: Path, names: list[str], settings: Settings) -> None:
    """Write a video of a clip's folder with boxes, names, subtitles and speaking bars burned in, and its sound.

    `names` are the people's, in the clip's order. The bars stand in a panel below the picture, one row a person.
    """
    speakers = _speakers(folder)
    sound = media.sound(folder / "audio.wav")
    encoding.encode(video, _pictures(folder, speakers, names, settings), sound, crf=settings.crf)


def previews(
    clips: pd.DataFrame, dataset: Path, to: Path, settings: Settings, protection: protect.Settings | None = None
) -> None:
    """Write the folder `to` with `{clip}.mp4` for every row of the table `dataset` from the folders below `dataset`."""
    with atomic_folder(to, "*.mp4") as aside:
        for row in tqdm(clips.itertuples(), total=len(clips), desc="previews", unit=" clips"):
            with protect.passed_on(dataset / row.clip, protection or protect.Settings()) as folder:
                preview(folder, aside / f"{row.clip}.mp4", list(row.persons), settings)


def strip(folder: Path, n: int = 8, height: int = 150) -> np.ndarray:
    """Return an RGB picture of up to `n` frames of a clip's folder side by side, spread evenly, each `height` px high.

    A person's box is thick and green while speaking, thin and grey while listening; a bystander's has blue corners only.
    """
    folder = Path(folder)
    speakers = _speakers(folder)
    _, full_height, frames = media.size_and_length(folder / "video.mp4")
    wanted = sorted({int((i + 0.5) * frames / n) for i in range(n)})
    states = _states(speakers)
    pictures = []
    for k, picture in enumerate(media.frames(folder / "video.mp4", end=wanted[-1] + 1, height=height)):
        if k in wanted:
            picture = picture.copy()
            _draw_boxes(picture, speakers, states, k, height / full_height)
            pictures += [picture, np.full((height, 3, 3), 255, dtype=np.uint8)]
    return np.concatenate(pictures[:-1], axis=1)


def lines(words: list[dict]) -> list[tuple[float, float, int | None, str]]:
    """Return subtitles (start s, end s, person or None, text) of a clip's words, which are in the order of time."""
    found: list[_Line] = []
    for word in words:
        last = found[-1] if found else None
        if (
            last
            and last.person == word["person"]
            and word["start_s"] - last.end_s <= _LINE_PAUSE_S
            and len(last.text) + len(word["word"]) < _LINE_LENGTH
        ):
            last.end_s, last.text = word["end_s"], f"{last.text} {word['word'].strip()}"
        else:
            found.append(_Line(word["start_s"], word["end_s"], word["person"], word["word"].strip()))
    return [(line.start_s, line.end_s, line.person, line.text) for line in found]


def _speakers(folder: Path) -> dict:
    return json.loads((Path(folder) / "speakers.json").read_text(encoding="utf-8"))


def _states(speakers: dict) -> np.ndarray:
    """Return who speaks when: (people, frames) bool."""
    return np.stack([intervals.to_mask(map(tuple, p["speak"]), speakers["num_frames"]) for p in speakers["people"]])


def _pictures(folder: Path, speakers: dict, names: list[str], settings: Settings) -> Iterator[np.ndarray]:
    states, subtitles = _states(speakers), lines(speakers["words"])
    poses = dict(opened(folder / "poses.npz")) if settings.poses else None
    panel = None
    for k, picture in enumerate(media.frames(folder / "video.mp4")):
        picture = picture.copy()
        height, width = picture.shape[:2]
        if panel is None:
            panel = _panel(states, names, width, min(height, width))
        if poses is not None:
            drawn = draw_poses(poses["keypoints"][k], poses["scores"][k], height, width)
            picture = np.where(drawn.any(-1, keepdims=True), drawn, picture)
        _draw_boxes(picture, speakers, states, k, 1)
        yield np.concatenate([_with_text(picture, speakers, names, subtitles, k), _with_cursor(panel, k, states)])


def _draw_boxes(picture: np.ndarray, speakers: dict, states: np.ndarray, k: int, scale: float) -> None:
    """Draw the boxes of frame k: all four sides for participants, the corners for bystanders."""
    width = max(1, round(_BOX_WIDTH * min(picture.shape[:2])))
    for person, speaking in zip(speakers["people"], states[:, k], strict=True):
        if (box := _box_at(person, k, scale)) is not None:
            thickness = 2 * width if speaking else width
            cv2.rectangle(picture, box[:2], box[2:], _SPEAKING if speaking else _LISTENING, thickness, cv2.LINE_AA)
    for bystander in speakers["bystanders"]:
        if (box := _box_at(bystander, k - bystander["start"], scale)) is not None:
            for x, inwards in zip(box[::2], (1, -1), strict=True):
                for y, down in zip(box[1::2], (1, -1), strict=True):
                    corner = (x + inwards * (box[2] - box[0]) // 4, y), (x, y), (x, y + down * (box[3] - box[1]) // 4)
                    cv2.polylines(picture, [np.array(corner)], False, _BYSTANDER, width, cv2.LINE_AA)


def _box_at(person: dict, k: int, scale: float) -> tuple[int, ...] | None:
    """Return a person's k-th box times `scale`, None where there is none."""
    if not 0 <= k < len(person["face_track"]) or person["face_track"][k][0] is None:
        return None
    return tuple(round(scale * c) for c in person["face_track"][k])


def _with_text(picture: np.ndarray, speakers: dict, names: list[str], subtitles: list, k: int) -> np.ndarray:
    height, width = picture.shape[:2]
    size = max(10, round(_TEXT_SIZE * min(height, width)))
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    for person, name in zip(speakers["people"], names, strict=True):
        if (box := _box_at(person, k, 1)) is None:
            continue
        x1, y1, *_ = box
        draw.text(
            (x1, max(0, y1 - 1.3 * size)),
            name,
            _WHITE,
            _font(size),
            stroke_width=max(1, size // 12),
            stroke_fill=_BLACK,
        )
    now = k / speakers["fps"]
    # Of overlapping subtitles one for each person is shown; a line that stays is replaced by the next.
    showing = [
        line
        for line in subtitles
        if line[0] <= now < line[1] + _LINE_STAYS_S
        and not any(line[0] < other[0] <= now for other in subtitles if now >= line[1])
    ]
    for row, (_, _, person, text) in enumerate(reversed(showing)):
        said = f"{'off screen' if person is None else names[person]}: {text}"
        place = (width / 2, height - (0.6 + 1.3 * row) * size)
        draw.text(place, said, _WHITE, _font(size), anchor="mb", stroke_width=max(1, size // 8), stroke_fill=_BLACK)
    return np.asarray(image)


def _panel(states: np.ndarray, names: list[str], width: int, side: int) -> np.ndarray:
    """Return the picture of the speaking bars, (even height, width, 3): the names and, over the clip's length, who speaks."""
    row = max(14, round(_BAR_HEIGHT * side))
    size, left = round(0.6 * row), _bar_left(width)
    panel = np.full((2 * -(-row * len(names) // 2), width, 3), _PANEL, dtype=np.uint8)
    frame_of = (np.arange(width - left) * states.shape[1]) // (width - left)
    for i, speaking in enumerate(states):
        top, bottom = i * row + row // 5, (i + 1) * row - row // 5
        panel[top:bottom, left:] = np.where(speaking[frame_of][:, None], _SPEAKING, np.array(_LISTENING) // 3)
    image = Image.fromarray(panel)
    for i, name in enumerate(names):
        ImageDraw.Draw(image).text((left - size // 2, (i + 0.5) * row), name, _WHITE, _font(size), anchor="rm")
    return np.asarray(image)


def _with_cursor(panel: np.ndarray, k: int, states: np.ndarray) -> np.ndarray:
    width = panel.shape[1]
    left = _bar_left(width)
    x = left + round((k + 0.5) / states.shape[1] * (width - left - 1))
    panel = panel.copy()
    panel[:, max(left, x - 1) : x + 2] = _CURSOR
    return panel


def _bar_left(width: int) -> int:
    return width // 8


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    # DejaVu comes with matplotlib and has far more alphabets than Pillow's own font.
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)
