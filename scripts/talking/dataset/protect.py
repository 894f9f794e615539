"""Clips as they are passed on: bystanders, who do not take part, or everybody's face made unrecognisable in the pictures.

A clip with nobody to protect is passed on as it is. Of another one only the pictures are encoded again.
"""

import hashlib
import itertools
import json
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from talking.clips import unseen
from talking.core import atomic, checksums, cli
from talking.dataset import bodies
from talking.dataset.store import Clip
from talking.video import encoding, media

NOBODY, BYSTANDER_FACES, WHOLE_BYSTANDERS, ALL_FACES = "nobody", "bystander_faces", "whole_bystanders", "all_faces"
# What is left of a face: so many squares of one colour each along its sides, with soft borders between them.
_SQUARES = 3
# A box is grown by this part of its size on each side: hair and chin are beyond it.
_MARGIN = 0.25
# A bystander who was not found for so long between two boxes was there; before the first box and after the last one, for so long.
_GAP_FRAMES, _ENDS_FRAMES = 2 * media.FPS, media.FPS
# A body is hidden where it is in any of so many frames before and after: the segmentation flickers.
_STEADY_FRAMES = 5
# A face far away is no larger than this.
_LEAST_SQUARE_PX = 8
_CRF = 18
_NOTES = {
    BYSTANDER_FACES: "the faces of bystanders, who do not take part, are",
    WHOLE_BYSTANDERS: "bystanders, who do not take part, are",
    ALL_FACES: "all faces are",
}


@dataclass
class Settings:
    """Settings of what all exports share."""

    protect: str = cli.setting(
        NOBODY,
        "who is made unrecognisable in exports and previews; bystanders: people in the picture who do not take part",
        choices=[NOBODY, BYSTANDER_FACES, WHOLE_BYSTANDERS, ALL_FACES],
    )


def note(settings: Settings) -> str:
    """Return a paragraph for the README of an export that says who is protected; "" if nobody is."""
    if settings.protect == NOBODY:
        return ""
    return f"\nIn the pictures of this copy, {_NOTES[settings.protect]} made unrecognisable.\n"


def is_changed(folder: Path, settings: Settings) -> bool:
    """Return True if a clip's folder is not passed on as it is: somebody in it is protected."""
    if settings.protect in (BYSTANDER_FACES, WHOLE_BYSTANDERS):
        return bool(Clip(folder).speakers["bystanders"])
    return settings.protect == ALL_FACES


@contextmanager
def passed_on(folder: Path, settings: Settings) -> Iterator[Path]:
    """Yield the folder of a clip as it is passed on: its own, or one that is removed afterwards, with other pictures and the same name.

    There, `protected` in `meta.json` says who is protected, and its checksums are those of the files. With whole bystanders,
    `speakers.json` has no boxes of them either.
    """
    if not is_changed(folder, settings):
        yield folder
        return
    with tempfile.TemporaryDirectory() as made:
        to = Path(made) / folder.name
        to.mkdir()
        clip, files = Clip(folder), ["video.mp4"]
        if settings.protect == WHOLE_BYSTANDERS:
            hide_bodies(clip, to / "video.mp4")
            _write_json(to / "speakers.json", clip.speakers | {"bystanders": []})
            files.append("speakers.json")
        else:
            people = clip.speakers["people"] if settings.protect == ALL_FACES else []
            hide_faces(clip, to / "video.mp4", [*clip.speakers["bystanders"], *people])
        for file in folder.iterdir():
            if file.name not in (*files, "meta.json"):
                atomic.link(file, to / file.name)
        facts = {n: {"bytes": (to / n).stat().st_size, "sha256": checksums.sha256(to / n)} for n in files}
        meta = clip.meta | {"protected": settings.protect, "files": clip.meta["files"] | facts}
        _write_json(to / "meta.json", meta)
        yield to


def exported(
    path: Path,
    folder: Path,
    settings: Settings,
    record: str,
    made_of: Sequence[str | int],
    write: Callable[[Clip, Clip, Path], dict],
) -> dict:
    """Return the content of the JSON file `record` of a clip's exported folder, which is made unless it is there and made of the same.

    `write` gets the clip, the clip as it is passed on, and a folder for all files but that one, and returns its content. What it is
    made of: the clip, who is protected, and `made_of`.
    """
    protected = settings.protect if is_changed(path, settings) else ""
    made = [(path / "meta.json").read_text(encoding="utf-8"), protected, *made_of]
    fingerprint = hashlib.sha256(json.dumps(made).encode()).hexdigest()
    if (folder / record).exists():
        known = json.loads((folder / record).read_text(encoding="utf-8"))
        if known["exported_from"] == fingerprint:
            return known
        shutil.rmtree(folder)
    aside = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    with passed_on(path, settings) as passed:
        content = write(Clip(path), Clip(passed), aside) | {"exported_from": fingerprint}
    _write_json(aside / record, content)
    aside.rename(folder)
    return content


def boxes(people: Sequence[dict], frames: int) -> np.ndarray:
    """Return the boxes (f, n, 4) px of the faces of people as `speakers.json` has them, with a margin; NaN where one is not seen.

    Between two boxes less than two seconds apart they are interpolated, and those at the ends hold for a second more.
    """
    known = seen(people, frames)
    margin = _MARGIN * (known[..., 2:] - known[..., :2])
    found = bodies.whole_boxes(known + np.concatenate([-margin, margin], axis=2))
    found[~_is_there(known)] = np.nan
    return found


def hide_faces(clip: Clip, to: Path, people: Sequence[dict]) -> None:
    """Write a clip's video with the faces of some of the people in its `speakers.json` made unrecognisable; its sound is copied."""
    _rewrite(clip.path / "video.mp4", to, (partial(_hide_boxes, of_frame) for of_frame in boxes(people, clip.frames)))


def hide_bodies(clip: Clip, to: Path) -> None:
    """Write a clip's video with all of its bystanders made unrecognisable: face, hair and body; its sound is copied.

    What the segmentation, faces and poses say to be of a person who takes part is left as it is.
    """
    faces = seen(clip.speakers["bystanders"], clip.frames)
    square = max(_LEAST_SQUARE_PX, np.nanmax(faces[..., 2:] - faces[..., :2]) * (1 + 2 * _MARGIN) / _SQUARES)
    _rewrite(clip.path / "video.mp4", to, (partial(_hide_mask, mask, square) for mask in _steady(_bodies(clip))))


def seen(people: Sequence[dict], frames: int) -> np.ndarray:
    """Return the face boxes (f, n, 4) px of people as `speakers.json` has them, NaN where there is none."""
    found = np.full((frames, len(people), 4), np.nan, dtype=np.float32)
    for i, person in enumerate(people):
        start = person.get("start", 0)
        found[start : start + len(person["face_track"]), i] = np.array(person["face_track"], dtype=float)
    return found


def _is_there(faces: np.ndarray) -> np.ndarray:
    """Return where people with the boxes (f, n, 4), NaN where they were not found, most likely are (f, n) bool."""
    frames, found = np.arange(len(faces)), np.zeros(faces.shape[:2], dtype=bool)
    for i in range(faces.shape[1]):
        known = np.flatnonzero(np.isfinite(faces[:, i, 0]))
        if known.size:
            after = np.searchsorted(known, frames)
            since = frames - known[(after - 1).clip(0)]
            until = known[after.clip(max=len(known) - 1)] - frames
            is_in_gap = (after > 0) & (after < len(known)) & (since + until <= _GAP_FRAMES)
            found[:, i] = is_in_gap | (np.minimum(np.abs(since), np.abs(until)) <= _ENDS_FRAMES)
    return found


def _bodies(clip: Clip) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield of each frame, in the size that a segmenter is given, where bystanders can be and where people are who take part, (h, w) bool."""
    of_people, known = unseen.segmenter(), seen(clip.speakers["bystanders"], clip.frames)
    others, is_there = bodies.whole_boxes(known), _is_there(known)
    people = bodies.whole_boxes(clip.face_boxes)
    for frame, picture in enumerate(clip.pictures()):
        small, scale = unseen.small(picture)
        here, elsewhen = (scale * others[frame, chosen] for chosen in (is_there[frame], ~is_there[frame]))
        faces, probability = np.concatenate([scale * people[frame], here]), of_people(small)
        whose = bodies.masks(probability, faces, scale * clip.keypoints[frame], clip.pose_scores[frame])
        # Who turned away or came later may still be there: only what is a person is hidden then.
        hidden = unseen.explained(whose.shape, here) | (whose > clip.people)
        hidden |= unseen.explained(whose.shape, elsewhen) & (probability > 0.5)
        yield hidden, (whose > 0) & (whose <= clip.people)


def _steady(bodies_: Iterator[tuple[np.ndarray, np.ndarray]]) -> Iterator[np.ndarray]:
    """Yield of each frame what is hidden (h, w) bool: where bystanders can be at about that time, less who takes part."""
    window: deque = deque(maxlen=2 * _STEADY_FRAMES + 1)
    for number, of_frame in enumerate(itertools.chain(bodies_, itertools.repeat(None, _STEADY_FRAMES))):
        window.append(of_frame)
        if number >= _STEADY_FRAMES:
            near = [hidden for hidden, _ in filter(None, window)]
            yield np.logical_or.reduce(near) & ~window[-1 - _STEADY_FRAMES][1]


def _rewrite(video: Path, to: Path, hide: Iterator[Callable[[np.ndarray, int], None]]) -> None:
    """Write a clip's video with other pictures and the same sound: of each frame, a function changes its planes (h, w) in place."""
    with media.opened(video) as container, atomic.atomic_write(to) as aside, encoding.Mp4(aside) as out:
        stream, sounds = container.streams.video[0], container.streams.audio
        out.add_pictures(stream.width, stream.height, crf=_CRF, colours=encoding.Colours.of(stream))
        copied = out.add_copy(sounds[0]) if sounds else None
        packets = [packet for packet in container.demux(sounds[0]) if packet.size] if sounds else []
        for number, (frame, hide_in) in enumerate(zip(media.decoded(video, 0, None), hide, strict=True)):
            while packets and packets[0].pts * packets[0].time_base * media.FPS <= number:
                packet = packets.pop(0)
                packet.stream = copied
                out.packet(packet)
            out.picture(_changed(frame, hide_in))
        for packet in packets:
            packet.stream = copied
            out.packet(packet)


def _changed(frame, hide: Callable[[np.ndarray, int], None]):
    import av

    picture = frame.to_ndarray(format="yuv420p")
    width, height = frame.width, frame.height
    hide(picture[:height], 1)
    # The planes of colour have half the size.
    for plane in picture[height:].reshape(2, height // 2, width // 2):
        hide(plane, 2)
    return av.VideoFrame.from_ndarray(picture, format="yuv420p")


def _hide_boxes(boxes_: np.ndarray, plane: np.ndarray, scale: int) -> None:
    """Make the parts of a plane (h, w) that lie in boxes (n, 4) px of the picture, `scale` times as large, unrecognisable."""
    import cv2

    for box in boxes_[np.isfinite(boxes_[:, 0])]:
        # Even edges: the planes of colour have half the size.
        edges = 2 / scale * np.concatenate([np.floor(box[:2] / 2), np.ceil(box[2:] / 2)])
        x1, y1, x2, y2 = np.maximum(edges, 0).astype(int).tolist()
        if (part := plane[y1:y2, x1:x2]).size:
            few = cv2.resize(part, (_SQUARES, _SQUARES), interpolation=cv2.INTER_AREA)
            part[...] = cv2.resize(few, part.shape[::-1], interpolation=cv2.INTER_LINEAR)


def _hide_mask(mask: np.ndarray, square: float, plane: np.ndarray, scale: int) -> None:
    """Make the part of a plane (h, w) that lies in a mask (h', w') bool unrecognisable: of it, squares of `square` px of the picture are left."""
    import cv2

    height, width = plane.shape
    inside = cv2.resize(mask.astype(np.uint8) * 255, (width, height), interpolation=cv2.INTER_LINEAR) > 127
    count = (max(2, round(width * scale / square)), max(2, round(height * scale / square)))
    few = cv2.resize(plane, count, interpolation=cv2.INTER_AREA)
    plane[inside] = cv2.resize(few, (width, height), interpolation=cv2.INTER_LINEAR)[inside]


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
