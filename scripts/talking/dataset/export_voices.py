"""The data set in the input form of generators that take one voice a person: MultiTalk (arXiv 2505.22647) and AnyTalker (arXiv 2511.23475).

A person's voice is the clip's sound where the labels say that the person speaks, and silence elsewhere. Masks are made of MediaPipe's
selfie segmentation, which does not tell people apart, and of faces and poses, which do.
"""

import hashlib
import json
import shutil
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from tqdm import tqdm

from talking.clips import unseen
from talking.core import arrays, atomic, cli, keypoints
from talking.core.atomic import atomic_write
from talking.core.errors import InputError
from talking.dataset import protect, store
from talking.dataset.export_mit import whole_boxes
from talking.sound.embeddings import gated
from talking.video import encoding

# To be raised when files are made in another way.
_WAY = 1
# Both models need a text, and nothing in the data set says what the picture shows.
PROMPT = "People are talking with each other."
# Sizes below count in the size of a face: the square root of its box's area.
# How wide limbs are drawn, how far above and beside a face's box hair reaches, and how far below it a body without a pose.
_LIMB, _HAIR, _BODY = 0.7, 0.4, 3.0
# Pixels of people that lie farther than this from a drawn body belong to somebody else.
_REACH = 1.5
_MIN_SCORE = 0.3
_TORSO = [keypoints.INDEX[name] for name in ("left_shoulder", "right_shoulder", "right_hip", "left_hip")]


@dataclass
class Settings:
    """Settings of the export with a voice a person."""

    root: str = cli.setting(
        "", "path before each clip's folder in the JSON files; empty: the absolute path of the export"
    )


def export(
    dataset: Path,
    out: Path,
    settings: Settings | None = None,
    threads: int = 1,
    protection: protect.Settings | None = None,
) -> None:
    """Write the data set below `out`: a folder a clip, and for each split the list that AnyTalker reads; unchanged clips are kept.

    Raises InputError for a clip in which nobody's face is seen.
    """
    root = (settings or Settings()).root or str(out.resolve())
    splits = store.splits(dataset)
    clips = [clip for folders in splits.values() for clip in folders]
    store.keep_only(out, clips)
    # Processes, as MediaPipe's graphs cannot be made by several threads at once; begun anew, as a fork ends the libraries' threads.
    with ProcessPoolExecutor(threads, get_context("spawn")) as pool:
        made = pool.map(partial(_export_clip, out, root, protection or protect.Settings()), clips)
        inputs = dict(zip([clip.name for clip in clips], tqdm(made, total=len(clips)), strict=True))
    for name, folders in splits.items():
        listed = {clip.name: _for_anytalker(inputs[clip.name]) for clip in folders}
        with atomic_write(out / f"anytalker_{name}.json") as aside:
            _write_json(aside, listed)


def masks(
    probability: np.ndarray,
    faces: np.ndarray,
    points: np.ndarray,
    scores: np.ndarray,
    others: Sequence[np.ndarray] = (),
) -> np.ndarray:
    """Return which pixel (h, w) belongs to whom, uint8: 0 to nobody, i + 1 to person i.

    `probability` (h, w) is that of a pixel to belong to anybody; `faces` (p, 4), `points` (p, 133, 2) with their `scores` and the
    faces of `others`, who have no mask, are in its pixels. A pixel belongs to the nearest body. All of a face's box belongs to its
    person, where two boxes overlap to the one with the larger face.
    """
    import cv2

    size = np.sqrt(np.maximum((faces[:, 2:] - faces[:, :2]).prod(axis=1), 1))
    bodies = [_body(probability.shape, *of_person) for of_person in zip(faces, size, points, scores, strict=True)]
    away = np.stack([cv2.distanceTransform(1 - body, cv2.DIST_L2, 3) / s for body, s in zip(bodies, size, strict=True)])
    nearest = away.min(axis=0)
    is_person = (probability > 0.5) & (nearest <= _REACH)
    for face in others:
        side = np.sqrt(max(float((face[2:] - face[:2]).prod()), 1))
        nothing = np.zeros((keypoints.COUNT, 2)), np.zeros(keypoints.COUNT)
        body = _body(probability.shape, face, side, *nothing)
        is_person &= cv2.distanceTransform(1 - body, cv2.DIST_L2, 3) / side > nearest
    labels = np.where(is_person, away.argmin(axis=0) + 1, 0).astype(np.uint8)
    for person in np.argsort(size, kind="stable"):
        labels[_inside(faces[person])] = person + 1
    return labels


def _body(shape: tuple[int, int], face: np.ndarray, size: float, points: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return where a person is (h, w) uint8 by the face and, where it is known, the pose: a coarse drawing that pixels are near to."""
    import cv2

    body = np.zeros(shape, dtype=np.uint8)
    x1, y1, x2, y2 = face
    body[_inside(np.array([x1 - _HAIR * size / 2, y1 - _HAIR * size, x2 + _HAIR * size / 2, y2]))] = 1
    at, seen = np.round(points).astype(int), scores >= _MIN_SCORE
    width = max(1, round(_LIMB * size))
    for a, b in keypoints.BODY_LIMBS:
        if seen[a] and seen[b]:
            cv2.line(body, at[a].tolist(), at[b].tolist(), 1, width)
    torso = [at[i] for i in _TORSO if seen[i]]
    if len(torso) > 2:
        cv2.fillConvexPoly(body, cv2.convexHull(np.array(torso, dtype=np.int32)), 1)
    if len(torso) < 2:
        middle = round(float(x1 + x2) / 2)
        cv2.line(
            body, (middle, round(float(y2))), (middle, round(float(y2 + _BODY * size))), 1, max(1, round(2 * size))
        )
    return body


def _inside(box: np.ndarray) -> tuple[slice, slice]:
    """Return the rows and columns that a box touches."""
    x1, y1, x2, y2 = (
        max(0, int(edge)) for edge in (np.floor(box[0]), np.floor(box[1]), np.ceil(box[2]), np.ceil(box[3]))
    )
    return slice(y1, y2), slice(x1, x2)


def _export_clip(out: Path, root: str, protection: protect.Settings, path: Path) -> dict:
    """Write one clip's folder and return what its JSON file holds."""
    folder = out / path.name
    made_of = [(path / "meta.json").read_text(encoding="utf-8"), root, _WAY]
    made_of += [protection.protect] * protect.is_changed(path, protection)
    fingerprint = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()
    if (folder / "multitalk.json").exists():
        known = json.loads((folder / "multitalk.json").read_text(encoding="utf-8"))
        if known["exported_from"] == fingerprint:
            return known
        shutil.rmtree(folder)
    aside = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    with protect.passed_on(path, protection) as passed:
        content = _write_clip(store.Clip(passed), aside, f"{root}/{folder.name}") | {"exported_from": fingerprint}
    _write_json(aside / "multitalk.json", content)
    aside.rename(folder)
    return content


def _write_clip(clip: store.Clip, aside: Path, root: str) -> dict:
    """Write a clip's files, but its JSON file, into a folder and return what that holds; `root` is the path before their names."""
    present = np.isfinite(clip.face_boxes[..., 0])
    if not present.any(axis=0).all():
        raise InputError(f"{clip.path / 'speakers.json'} has a person without any face box; run the workflow again.")
    people = [f"person{i + 1}" for i in range(clip.people)]
    for name, spoken in zip(people, clip.speaking.T, strict=True):
        encoding.write_sound(aside / f"{name}.wav", gated(clip.samples(), spoken))
    # The first frame in which the most people show their face, mostly all.
    reference = int(present.sum(axis=1).argmax())
    labels, picture = _write_people(clip, reference, aside)
    _write_picture(aside / "reference.png", picture[..., ::-1])
    boxes = {}
    for i, name in enumerate(people):
        mask = _enlarged(labels == i + 1, clip)
        _write_picture(aside / f"{name}_mask.png", mask * np.uint8(255))
        boxes[name] = _bounds(mask)
    atomic.link(clip.path / "video.mp4", aside / "video.mp4")
    return {
        "prompt": PROMPT,
        "cond_image": f"{root}/reference.png",
        "audio_type": "para",
        "cond_audio": {name: f"{root}/{name}.wav" for name in people},
        "bbox": boxes,
        "video": f"{root}/video.mp4",
        "masks": {name: f"{root}/{name}_mask.png" for name in people},
        "people": f"{root}/people.npz",
        "reference_frame": reference,
    }


def _write_people(clip: store.Clip, reference: int, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Write masks, face boxes and labels of all frames; return the mask and the picture of the frame `reference`."""
    of_people, faces, bystanders = unseen.segmenter(), whole_boxes(clip.face_boxes), _bystanders(clip)
    found = []
    for frame, picture in enumerate(clip.pictures()):
        small, scale = unseen.small(picture)
        others = [box * scale for box in bystanders.get(frame, ())]
        points, scores = clip.keypoints[frame] * scale, clip.pose_scores[frame]
        found.append(masks(of_people(small), faces[frame] * scale, points, scores, others))
        if frame == reference:
            shown = picture
    if len(found) != clip.frames:
        raise InputError(
            f"{clip.path / 'video.mp4'} has {len(found)} frames, not {clip.frames}; run the workflow again."
        )
    named = {"mask": np.stack(found), "face_boxes": clip.face_boxes, "speaking": clip.speaking}
    arrays.write(folder / "people.npz", named.items())
    return found[reference], shown


def _bystanders(clip: store.Clip) -> dict[int, list[np.ndarray]]:
    """Return the face boxes of bystanders by frame."""
    found: dict[int, list[np.ndarray]] = {}
    for other in clip.speakers.get("bystanders", ()):
        for frame, box in enumerate(other["face_track"], start=other["start"]):
            if box[0] is not None:
                found.setdefault(frame, []).append(np.array(box, dtype=float))
    return found


def _enlarged(mask: np.ndarray, clip: store.Clip) -> np.ndarray:
    import cv2

    return cv2.resize(mask.astype(np.uint8), (clip.width, clip.height), interpolation=cv2.INTER_NEAREST)


def _bounds(mask: np.ndarray) -> list[int]:
    """Return where a mask begins and ends as MultiTalk wants it: top, left, bottom, right; all of the picture if it is empty."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return [0, 0, *mask.shape]
    return [int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1]


def _for_anytalker(content: dict) -> dict:
    """Return a clip as AnyTalker lists it: it finds the faces in the picture itself, from the left, as voices are listed."""
    voices = list(content["cond_audio"].values())
    return {
        "image_path": content["cond_image"],
        "caption": content["prompt"],
        "enhance_caption": content["prompt"],
        "audio_list": voices,
    }


def _write_picture(path: Path, picture: np.ndarray) -> None:
    import cv2

    done, data = cv2.imencode(".png", picture)
    if not done:
        raise RuntimeError(f"{path} could not be encoded as PNG.")
    path.write_bytes(data)


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
