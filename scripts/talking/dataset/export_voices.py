"""The data set in the input form of generators that take one voice a person: MultiTalk (arXiv 2505.22647) and AnyTalker (arXiv 2511.23475).

A person's voice is the clip's sound where the labels say that the person speaks, and silence elsewhere. Masks are made of MediaPipe's
selfie segmentation, which does not tell people apart, and of faces and poses, which do.
"""

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from tqdm import tqdm

from talking.clips import unseen
from talking.core import arrays, atomic, cli
from talking.core.atomic import atomic_write
from talking.core.errors import InputError
from talking.dataset import bodies, protect, store
from talking.sound.embeddings import gated
from talking.video import encoding

# To be raised when files are made in another way.
_WAY = 2
# Both models need a text, and nothing in the data set says what the picture shows.
PROMPT = "People are talking with each other."


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


def _export_clip(out: Path, root: str, protection: protect.Settings, path: Path) -> dict:
    """Write one clip's folder and return what its JSON file holds."""
    write = partial(_write_clip, f"{root}/{path.name}")
    return protect.exported(path, out / path.name, protection, "multitalk.json", (root, _WAY), write)


def _write_clip(root: str, clip: store.Clip, passed: store.Clip, aside: Path) -> dict:
    """Write a clip's files, but its JSON file, into a folder and return what that holds; `root` is the path before their names."""
    present = np.isfinite(clip.face_boxes[..., 0])
    if not present.any(axis=0).all():
        raise InputError(f"{clip.path / 'speakers.json'} has a person without any face box; run the workflow again.")
    people = [f"person{i + 1}" for i in range(clip.people)]
    for name, spoken in zip(people, clip.speaking.T, strict=True):
        encoding.write_sound(aside / f"{name}.wav", gated(clip.samples(), spoken))
    # The first frame in which the most people show their face, mostly all.
    reference = int(present.sum(axis=1).argmax())
    labels = _write_people(clip, reference, aside)
    [picture] = passed.pictures_at(np.array([reference]))
    _write_picture(aside / "reference.png", picture[..., ::-1])
    boxes = {}
    for i, name in enumerate(people):
        mask = _enlarged(labels == i + 1, clip)
        _write_picture(aside / f"{name}_mask.png", mask * np.uint8(255))
        boxes[name] = _bounds(mask)
    atomic.link(passed.path / "video.mp4", aside / "video.mp4")
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


def _write_people(clip: store.Clip, reference: int, folder: Path) -> np.ndarray:
    """Write masks, face boxes and labels of all frames; return the mask of the frame `reference`."""
    of_people, faces = unseen.segmenter(), bodies.whole_boxes(clip.face_boxes)
    bystanders = protect.seen(clip.speakers["bystanders"], clip.frames)
    found = []
    for frame, picture in enumerate(clip.pictures()):
        small, scale = unseen.small(picture)
        others = bystanders[frame, np.isfinite(bystanders[frame, :, 0])]
        everybody = scale * np.concatenate([faces[frame], others])
        whose = bodies.masks(of_people(small), everybody, scale * clip.keypoints[frame], clip.pose_scores[frame])
        found.append(np.where(whose <= clip.people, whose, 0))
    if len(found) != clip.frames:
        raise InputError(
            f"{clip.path / 'video.mp4'} has {len(found)} frames, not {clip.frames}; run the workflow again."
        )
    named = {"mask": np.stack(found), "face_boxes": clip.face_boxes, "speaking": clip.speaking}
    arrays.write(folder / "people.npz", named.items())
    return found[reference]


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
