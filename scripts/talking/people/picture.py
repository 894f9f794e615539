"""The people of a single picture: their faces, found or given, their poses, and what each of them says."""

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from talking import poses
from talking.core.errors import InputError
from talking.faces import detect, landmarks
from talking.poses import still
from talking.sound import embeddings, recordings
from talking.video import media

# A face is taken for one from this confidence on: nobody looks at what a detector finds in a picture but its user.
_SURE = 0.5


def find(path: Path, people: str = "auto") -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return an RGB picture (h, w, 3) uint8 and its people from the left, or in the order of the JSON file `people` with their face
    boxes: `faces` (p, 4) px, and `keypoints`, `scores`, `boxes` and `valid` of their poses as those of a clip of one frame.

    Raises InputError if the picture or the file cannot be read, or if there is no face.
    """
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if picture is None:
        raise InputError(f"{path} cannot be read as a picture; give a PNG or JPEG file.")
    faces = _found(path, picture) if people == "auto" else _given(Path(people), picture)
    marks = landmarks.of_picture(picture, faces)
    settings = poses.Settings()
    model = poses.MODELS[settings.model](settings, 1)
    return picture, {"faces": faces, **still.of_picture(picture, faces, marks, model, settings)}


def voices(files: Sequence[Path], settings: embeddings.Settings) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the samples (n,) at 16 kHz of one sound file a person, filled with silence to the frames of the longest, and what they
    sound like (frames, people, layers, channels) float16.

    Raises InputError if a file or the network's weights cannot be read.
    """
    read = [recordings.read(file) for file in files]
    length = -(-max(map(len, read)) // media.SAMPLES_PER_FRAME) * media.SAMPLES_PER_FRAME
    samples = [np.pad(of, (0, length - len(of))) for of in read]
    return samples, np.stack(embeddings.rows(embeddings.opened(settings), samples), axis=1)


def _found(path: Path, picture: np.ndarray) -> np.ndarray:
    found = detect.in_picture(picture, detect.Settings(min_confidence=_SURE))
    if not len(found):
        raise InputError(f"{path} shows no face that the detector finds; name a JSON file of face boxes with --people.")
    return found[np.argsort(found[:, 0] + found[:, 2]), :4]


def _given(path: Path, picture: np.ndarray) -> np.ndarray:
    try:
        faces = np.array(json.loads(path.read_text(encoding="utf-8")), dtype=float).reshape(-1, 4)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{path} cannot be read as a list of face boxes [x1, y1, x2, y2] in px of the picture ({error})."
        ) from error
    height, width = picture.shape[:2]
    if (
        not len(faces)
        or not ((faces[:, :2] < faces[:, 2:]) & (faces[:, :2] < [width, height]) & (faces[:, 2:] > 0)).all()
    ):
        raise InputError(
            f"{path} must have face boxes x1 < x2, y1 < y2 that lie in the picture of {width}×{height} px."
        )
    return faces
