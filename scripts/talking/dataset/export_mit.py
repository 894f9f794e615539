"""The data set in the folder layout of the published MIT data set.

The published layout (Multi-human Interactive Talking, arXiv 2508.03050) is what its trainer reads: pictures of 1920×1080 and
labels in their pixels. Other sizes are scaled and put in the middle of black.
"""

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from talking.core import boxes, cli, keypoints
from talking.core.atomic import atomic_write
from talking.core.errors import InputError
from talking.dataset import bodies, protect, store
from talking.video import encoding

WIDTH, HEIGHT = 1920, 1080
# Places of the points that the published masks are drawn from, on a face of size 1 at the origin: for people without any pose,
# so that their masks are in the right place.
_USUAL = {
    keypoints.CONTOUR_RIGHT: (-0.5, 0),
    keypoints.CHIN: (0, 0.5),
    keypoints.CONTOUR_LEFT: (0.5, 0),
    keypoints.NOSE_BRIDGE_END: (0, 0),
    keypoints.LEFT_SHOULDER: (1, 1.2),
    keypoints.RIGHT_SHOULDER: (-1, 1.2),
}


@dataclass
class Settings:
    """Settings of the export in the published layout."""

    root: str = cli.setting("", "path before each clip's folder in the lists; empty: the absolute path of the export")


@dataclass(frozen=True)
class Canvas:
    """Where a picture of another size lies on the canvas: scaled by (x, y), then moved by (left, top), in px."""

    scale: tuple[float, float]
    left: int
    top: int
    inner: tuple[int, int]

    @classmethod
    def around(cls, width: int, height: int) -> "Canvas":
        """Return the canvas around pictures of a size, as large as fits, in the middle."""
        scale = min(WIDTH / width, HEIGHT / height)
        inner = (round(width * scale), round(height * scale))
        left, top = (WIDTH - inner[0]) // 2, (HEIGHT - inner[1]) // 2
        return cls((inner[0] / width, inner[1] / height), left, top, inner)

    def points(self, points: np.ndarray) -> np.ndarray:
        """Return points (..., 2) of the picture on the canvas."""
        return np.asarray(points, dtype=float) * self.scale + (self.left, self.top)

    def boxes(self, boxes_: np.ndarray) -> np.ndarray:
        """Return boxes (..., 4) of the picture on the canvas."""
        boxes_ = np.asarray(boxes_, dtype=float)
        return self.points(boxes_.reshape(*boxes_.shape[:-1], 2, 2)).reshape(boxes_.shape)

    def picture(self, picture: np.ndarray) -> np.ndarray:
        """Return a picture (h, w, 3) on the black canvas (1080, 1920, 3)."""
        import cv2

        if self.inner != picture.shape[1::-1]:
            smaller = self.inner[0] < picture.shape[1]
            picture = cv2.resize(picture, self.inner, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
        out = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
        out[self.top : self.top + self.inner[1], self.left : self.left + self.inner[0]] = picture
        return out


def export(
    dataset: Path,
    out: Path,
    settings: Settings | None = None,
    threads: int = 1,
    protection: protect.Settings | None = None,
) -> None:
    """Write the data set below `out` in the published layout; unchanged clips that are there already are kept.

    Raises InputError if a path would hold the word "frames" twice, by which the published reader finds its folders.
    """
    root, protection = (settings or Settings()).root or str(out.resolve()), protection or protect.Settings()
    splits = store.splits(dataset)
    clips = [clip for folders in splits.values() for clip in folders]
    for clip in clips:
        if f"{root}/{clip.name}/frames".count("frames") != 1:
            raise InputError(
                f'the path {root}/{clip.name} has the word "frames" in it, which the published reader replaces;'
                " export to another folder (config key `export_mit: root`) or rename the video."
            )
    store.keep_only(out, clips)
    with ThreadPoolExecutor(threads) as pool:
        write = partial(_export_clip, out, protection)
        shapes = list(tqdm(pool.map(write, clips), total=len(clips)))
    for name, folders in splits.items():
        records = [_record(f"{root}/{clip.name}") for clip in folders]
        with atomic_write(out / f"{name}.json") as aside:
            _write_json(aside, records)
    with atomic_write(out / "README.md") as aside:
        aside.write_text(_mit_readme(set(shapes)) + protect.note(protection), encoding="utf-8")


def whole_poses(points: np.ndarray, scores: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return points (f, p, 133, 2) with missing ones filled in, for readers that ignore scores.

    A point of score 0 is where it lies, relative to the face box, in the nearest frame in which it is known; one that never
    is lies in the middle of the face, save those that masks are drawn from. Its score stays 0.
    """
    centre, size = (faces[..., :2] + faces[..., 2:]) / 2, np.maximum(faces[..., 2:] - faces[..., :2], 1)
    relative = (points - centre[..., None, :]) / size[..., None, :]
    frames = np.arange(len(points))
    for person, point in np.argwhere((scores <= 0).any(axis=0)):
        known = np.flatnonzero(scores[:, person, point] > 0)
        if known.size:
            nearest = known[np.ceil(np.interp(frames, known, np.arange(known.size)) - 0.5).astype(int)]
            relative[:, person, point] = relative[nearest, person, point]
        else:
            relative[:, person, point] = _USUAL.get(int(point), (0, 0))
    return np.where((scores > 0)[..., None], points, relative * size[..., None, :] + centre[..., None, :])


def _export_clip(out: Path, protection: protect.Settings, path: Path) -> tuple[int, ...]:
    """Write one clip's folder in the published layout; return the shape of a frame's sound features."""
    sound = store.Clip(path).sound
    if sound.ndim != 3:
        raise InputError(
            f"{path} has sound features of each person, which the published layout cannot hold; set sound.sound_mode: mixed."
        )
    protect.exported(path, out / path.name, protection, "meta.json", (), _write_clip)
    return sound.shape[1:]


def _write_clip(clip: store.Clip, passed: store.Clip, folder: Path) -> dict:
    """Write a clip's files, but meta.json, into a folder and return what that holds."""
    for name in ("frames", "pose_frame", "pose"):
        (folder / name).mkdir()
    canvas = Canvas.around(clip.width, clip.height)
    _write_people(clip, canvas, folder)
    _write_pictures(passed, canvas, folder)
    shutil.copy(clip.path / "audio.wav", folder / "audio.wav")
    _write_sound(clip, folder / "audio_embeding.pt")
    meta = {name: clip.meta[name] for name in ("source", "video", "url")}
    return meta | {"period": clip.meta["period_s"], "num_speaker": clip.people}


def _write_people(clip: store.Clip, canvas: Canvas, folder: Path) -> None:
    """Write the three speaker_info files and a pose file a frame."""
    boxes_ = bodies.whole_boxes(clip.face_boxes)
    faces = canvas.boxes(boxes_)
    points, scores = whole_poses(clip.keypoints, clip.pose_scores, boxes_), clip.pose_scores
    points = canvas.points(points)
    width = _digits(clip.frames)
    for frame in range(clip.frames):
        instances = [
            {"keypoints": np.round(p, 2).tolist(), "keypoint_scores": np.round(s.astype(float), 4).tolist()}
            for p, s in zip(points[frame], scores[frame], strict=True)
        ]
        _write_json(folder / "pose" / f"output_{frame + 1:0{width}}.json", {"instance_info": instances})
    info = [_speaker(person, faces[:, i], "") for i, person in enumerate(clip.speakers["people"])]
    merged = [_speaker(person, faces[:, i], "_merged") for i, person in enumerate(clip.speakers["people"])]
    with_bbox = [
        person | {"instance_bbox": _instance_box(clip, canvas, i), "clip_range": [1, clip.frames]}
        for i, person in enumerate(info)
    ]
    _write_json(folder / "speaker_info.json", info)
    _write_json(folder / "speaker_info_merged.json", merged)
    _write_json(folder / "speaker_info_with_instance_bbox.json", with_bbox)


def _speaker(person: dict, faces: np.ndarray, which: str) -> dict:
    speak, listen = person[f"speak{which}"], person[f"listen{which}"]
    return {
        "face_track": np.round(faces, 2).tolist(),
        "speak": speak,
        "listen": listen,
        "period_num": len(speak) + len(listen),
        "speaking_score": person["speaking_score"],
    }


def _instance_box(clip: store.Clip, canvas: Canvas, person: int) -> list[float]:
    """Return the box of a person's body over the whole clip; without any pose, one estimated from the faces."""
    valid = clip.pose_valid[:, person]
    if valid.any():
        box = boxes.union(clip.body_boxes[valid, person])
    else:
        face = boxes.union(bodies.whole_boxes(clip.face_boxes[:, [person]]))
        size = face[2:] - face[:2]
        box = np.concatenate([face[:2] - size * (1, 0.5), face[2:] + size * (1, 3)])
    return np.round(canvas.boxes(boxes.clip(box, clip.width, clip.height)), 2).tolist()


def _write_pictures(clip: store.Clip, canvas: Canvas, folder: Path) -> None:
    """Write pictures and poses as PNG, and the video: unchanged if it has the canvas's size already."""
    if (clip.width, clip.height) == (WIDTH, HEIGHT):
        shutil.copy(clip.path / "video.mp4", folder / "video.mp4")
        count = sum(1 for _ in _pictures(clip, canvas, folder))
    else:
        count = encoding.encode(folder / "video.mp4", _pictures(clip, canvas, folder), clip.samples())
    if count != clip.frames:
        raise InputError(f"{clip.path / 'video.mp4'} has {count} frames, not {clip.frames}; run the workflow again.")


def _pictures(clip: store.Clip, canvas: Canvas, folder: Path) -> Iterator[np.ndarray]:
    """Write each frame's two PNGs and yield its picture."""
    from talking.poses import render

    width = _digits(clip.frames)
    points = canvas.points(clip.keypoints)
    for frame, picture in enumerate(clip.pictures()):
        name = f"output_{frame + 1:0{width}}.png"
        picture = canvas.picture(picture)
        _write_png(folder / "frames" / name, picture)
        poses = render.draw_poses(points[frame], clip.pose_scores[frame], HEIGHT, WIDTH)
        _write_png(folder / "pose_frame" / name, poses)
        yield picture


def _write_png(path: Path, picture: np.ndarray) -> None:
    import cv2

    # Level 1 is four times as fast as the default and hardly larger for camera pictures. Trying one filter instead of five
    # halves the time once more, and by the line above pictures come out smaller than by the best of five.
    options = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]
    options += [cv2.IMWRITE_PNG_ZLIBBUFFER_SIZE, 1 << 20]
    done, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise RuntimeError(f"{path} could not be encoded as PNG.")
    path.write_bytes(data)


def _write_sound(clip: store.Clip, path: Path) -> None:
    import torch

    torch.save(torch.from_numpy(clip.sound.astype(np.float32)), path)


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def _digits(frames: int) -> int:
    """Return how wide frame numbers must be for names to sort as text."""
    return max(4, len(str(frames)))


def _record(folder: str) -> dict[str, str]:
    return {
        "image_dir": f"{folder}/frames",
        "pose_dir": f"{folder}/pose_frame",
        "speak_info_path": f"{folder}/speaker_info_with_instance_bbox.json",
        "audio_embedding_path": f"{folder}/audio_embeding.pt",
    }


def _mit_readme(shapes: set[tuple[int, ...]]) -> str:
    told = (
        " and ".join(f"frames × {' × '.join(map(str, shape))}" for shape in sorted(shapes))
        or "nothing, as there is no clip"
    )
    fits = (
        "This is the shape that the published trainer expects."
        if shapes == {(12, 768)}
        else "The published trainer expects frames × 12 × 768, the hidden states of wav2vec2-base-960h: set `sound: model:"
        " wav2vec2` in the config and run again before training with it."
    )
    return f"""# Export in the MIT data set's layout

`audio_embeding.pt` holds {told}. {fits}

Pictures are {WIDTH}×{HEIGHT}: others are scaled and put in the middle of black, and all coordinates with them.

Pose points that the pose model did not see have score 0. As the published reader does not look at scores, such a point has the
place it had in the nearest frame in which it was seen, relative to the face; one that never was seen lies on the face, shoulders
below it. A person who is away for a moment (`absent` in the data set's speakers.json) has the boxes between the nearest known ones,
and does not speak. `clip_range` is always all frames, as any other shifts pictures against sound in the published reader.
"""
