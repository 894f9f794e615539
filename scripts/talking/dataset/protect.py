"""Clips as they are passed on: the faces of bystanders, who do not take part, made unrecognisable in the pictures.

A clip without bystanders is passed on as it is. Of another one only the pictures are encoded again.
"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talking.core import atomic, checksums, cli
from talking.dataset.store import Clip
from talking.video import encoding, media

NOBODY, BYSTANDERS = "nobody", "bystanders"
# What is left of a face: so many squares of one colour each along its sides, with soft borders between them.
_SQUARES = 3
# A box is grown by this part of its size on each side: hair and chin are beyond it.
_MARGIN = 0.25
# A bystander who was not found for so long between two boxes was there; before the first box and after the last one, for so long.
_GAP_FRAMES, _ENDS_FRAMES = 2 * media.FPS, media.FPS // 2
_CRF = 18


@dataclass
class Settings:
    """Settings of what all exports share."""

    protect: str = cli.setting(
        NOBODY,
        "whose faces are made unrecognisable in exports and previews; bystanders: people in the picture who do not take part",
        choices=[NOBODY, BYSTANDERS],
    )


def is_changed(folder: Path, settings: Settings) -> bool:
    """Return True if a clip's folder is not passed on as it is: somebody in it is protected."""
    return settings.protect == BYSTANDERS and bool(Clip(folder).speakers["bystanders"])


@contextmanager
def passed_on(folder: Path, settings: Settings) -> Iterator[Path]:
    """Yield the folder of a clip as it is passed on: its own, or one that is removed afterwards, with other pictures and the same name.

    There, `protected` in `meta.json` says who is protected, and its checksums are those of the files.
    """
    if not is_changed(folder, settings):
        yield folder
        return
    with tempfile.TemporaryDirectory() as made:
        to = Path(made) / folder.name
        to.mkdir()
        clip = Clip(folder)
        for file in folder.iterdir():
            if file.name not in ("video.mp4", "meta.json"):
                atomic.link(file, to / file.name)
        blur(folder / "video.mp4", to / "video.mp4", boxes(clip))
        video = to / "video.mp4"
        facts = {"bytes": video.stat().st_size, "sha256": checksums.sha256(video)}
        meta = clip.meta | {"protected": settings.protect, "files": clip.meta["files"] | {"video.mp4": facts}}
        (to / "meta.json").write_text(json.dumps(meta, ensure_ascii=False) + "\n", encoding="utf-8")
        yield to


def boxes(clip: Clip) -> np.ndarray:
    """Return the boxes (f, n, 4) px of the faces of bystanders, with a margin; NaN where one is not seen.

    Between two boxes less than two seconds apart they are interpolated, and those at the ends hold for half a second more.
    """
    found = np.full((clip.frames, len(clip.speakers["bystanders"]), 4), np.nan, dtype=np.float32)
    frames = np.arange(clip.frames)
    for i, bystander in enumerate(clip.speakers["bystanders"]):
        track = np.array(bystander["face_track"], dtype=float)
        is_known = np.isfinite(track[:, 0])
        known, track = bystander["start"] + np.flatnonzero(is_known), track[is_known]
        margin = _MARGIN * (track[:, 2:] - track[:, :2])
        grown = track + np.concatenate([-margin, margin], axis=1)
        after = np.searchsorted(known, frames)
        since = frames - known[(after - 1).clip(0)]
        until = known[after.clip(max=len(known) - 1)] - frames
        is_in_gap = (after > 0) & (after < len(known)) & (since + until <= _GAP_FRAMES)
        is_there = is_in_gap | (np.minimum(np.abs(since), np.abs(until)) <= _ENDS_FRAMES)
        found[is_there, i] = np.stack([np.interp(frames, known, edge) for edge in grown.T], axis=1)[is_there]
    return found


def blur(video: Path, to: Path, boxes: np.ndarray) -> None:
    """Write a clip's video with the parts of its pictures in boxes (f, n, 4) px made unrecognisable; its sound is copied."""
    with media.opened(video) as container, atomic.atomic_write(to) as aside, encoding.Mp4(aside) as out:
        stream, sounds = container.streams.video[0], container.streams.audio
        out.add_pictures(stream.width, stream.height, crf=_CRF, colours=encoding.Colours.of(stream))
        copied = out.add_copy(sounds[0]) if sounds else None
        packets = [packet for packet in container.demux(sounds[0]) if packet.size] if sounds else []
        for number, frame in enumerate(media.decoded(video, 0, None)):
            while packets and packets[0].pts * packets[0].time_base * media.FPS <= number:
                packet = packets.pop(0)
                packet.stream = copied
                out.packet(packet)
            out.picture(_blurred(frame, boxes[number]))
        for packet in packets:
            packet.stream = copied
            out.packet(packet)


def _blurred(frame, boxes: np.ndarray):
    import av

    seen = boxes[np.isfinite(boxes[:, 0])]
    if not len(seen):
        return frame if frame.format.name == "yuv420p" else frame.reformat(format="yuv420p")
    picture = frame.to_ndarray(format="yuv420p")
    width, height = frame.width, frame.height
    light = picture[:height]
    colours = picture[height:].reshape(2, height // 2, width // 2)
    for box in seen:
        # Even edges: the planes of colour have half the size.
        x1, y1 = np.maximum(np.floor(box[:2] / 2) * 2, 0).astype(int).tolist()
        x2, y2 = np.minimum(np.ceil(box[2:] / 2) * 2, [width, height]).astype(int).tolist()
        if x1 < x2 and y1 < y2:
            _flatten(light[y1:y2, x1:x2])
            for plane in colours:
                _flatten(plane[y1 // 2 : y2 // 2, x1 // 2 : x2 // 2])
    return av.VideoFrame.from_ndarray(picture, format="yuv420p")


def _flatten(part: np.ndarray) -> None:
    import cv2

    few = cv2.resize(part, (_SQUARES, _SQUARES), interpolation=cv2.INTER_AREA)
    part[...] = cv2.resize(few, part.shape[::-1], interpolation=cv2.INTER_LINEAR)
