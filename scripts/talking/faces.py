"""Find the faces of every frame: boxes, confidences and five landmarks, in one pass over the video."""

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from talking import boxes, insightface, media, tables
from talking.cli import setting
from talking.errors import InputError

POINTS = ("right_eye", "left_eye", "nose", "mouth_right", "mouth_left")

# One detection: box, confidence, five points.
_COLUMNS = ["x1", "y1", "x2", "y2", "confidence"] + [f"{p}_{a}" for p in POINTS for a in "xy"]

# What has to be moved, in box widths and heights, so that a YuNet box spans a face as the truth does: the face's
# outline without ears, from the hairline to the chin. YuNet's boxes reach further up.
_YUNET_MARGINS = np.array([0.015, 0.09, 0.0, -0.02])

# A face is looked at in a square of so many times its size, brought to so many pixels.
_LOOK_REACH = 2.0
_LOOK_SIDE = 128
# Nothing is gained from pictures with more lines than this.
_MOST_LINES = 720
# Mean absolute difference of grey (0-255) of two frames' thumbnails, beyond which all may have changed.
_SUDDEN = 12.0
# libfacedetection's C++ function, and the 16-bit numbers that its result takes.
_FACES_OF_PICTURE = "_Z14facedetect_cnnPhS_iii"
_ROOM_OF_FACES = 0x9000 // 2

Detector = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Settings:
    """How faces are found."""

    model: str = setting("yuface", "face detector", choices=("yuface", "yunet", "scrfd"))
    weights: str = setting("", "ONNX file of the models yunet and scrfd; yuface has its own")
    search_lines: int = setting(540, "shorter side, in pixels, of the picture that is searched for faces")
    search_every: int = setting(4, "frames from one search of the whole picture to the next, if nothing happens before")
    smallest: float = setting(0.028, "faces whose longer side is less are not written, in shorter sides of the picture")
    min_confidence: float = setting(0.45, "detections below are not written (0-1)")


def detect(video: str | Path, settings: Settings) -> pd.DataFrame:
    """Return the `faces` table of a `media/` video in one decode; boxes and points are in the pixels of the video.

    The detector is YuNet (Wu et al., Machine Intelligence Research 2023) or SCRFD. It searches the whole picture every few
    frames, and at once when the picture changes suddenly or a face is lost; in every frame it looks at each face
    again, near where it was and always at the same size, so that boxes are steady and chance finds are dropped.
    Raises InputError if the model's weights are missing.
    """
    width, height, count = media.size_and_length(video)
    detector = MODELS[settings.model](settings)
    if not width:
        return tables.empty("faces")
    lines = round(height * min(1.0, _MOST_LINES / min(width, height)))
    pictures = media.frames(video, height=lines, pixel_format="bgr24")
    finder = _Finder(detector, settings)
    rows = []
    for frame, picture in enumerate(tqdm(pictures, total=count, desc="faces", unit="frame", mininterval=5)):
        found = finder(picture)
        back = np.array([width / picture.shape[1], height / picture.shape[0]])
        rows.append(np.column_stack([np.full(len(found), frame), _resized(found, back)]))
    table = pd.DataFrame(np.concatenate(rows) if rows else np.zeros((0, 16)), columns=["frame", *_COLUMNS])
    return table.astype({"frame": int})


class _Finder:
    """Finds the faces (n, 15) of successive BGR pictures."""

    def __init__(self, detector: Detector, settings: Settings) -> None:
        self._detector, self._settings = detector, settings
        self._faces = np.zeros((0, 15))
        self._thumbnail: np.ndarray | None = None
        self._since_search = 0

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        thumbnail = cv2.resize(picture, (64, 36), interpolation=cv2.INTER_AREA).astype(float)
        sudden = self._thumbnail is None or np.abs(thumbnail - self._thumbnail).mean() > _SUDDEN
        self._thumbnail = thumbnail
        self._since_search += 1
        seen = self._look_at(picture, self._faces)
        lost = len(self._faces) > len(seen)
        if sudden or lost or self._since_search >= self._settings.search_every:
            found = self._search(picture)
            covered = boxes.iou_matrix(found[:, :4], seen[:, :4]).max(axis=1, initial=0) > 0.3
            # A face is found again where it was just found; what merely looks like one, from one distance, is not.
            new = self._look_at(picture, self._look_at(picture, found[~covered]))
            seen = without_doubles(np.concatenate([seen, new]))
            self._since_search = 0
        self._faces = seen
        return seen

    def _search(self, picture: np.ndarray) -> np.ndarray:
        factor = min(1.0, self._settings.search_lines / min(picture.shape[:2]))
        small = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        found = _resized(self._detector(small), np.array(picture.shape[1::-1]) / small.shape[1::-1])
        sizes = (found[:, 2:4] - found[:, :2]).max(axis=1)
        large = sizes >= self._settings.smallest * min(picture.shape[:2])
        return without_doubles(found[large & (found[:, 4] >= self._settings.min_confidence)])

    def _look_at(self, picture: np.ndarray, faces: np.ndarray) -> np.ndarray:
        """Return the faces that are still found near where they are expected, each once."""
        seen = []
        for face in faces:
            centre, size = (face[:2] + face[2:4]) / 2, (face[2:4] - face[:2]).max()
            part, corner = cut_square(picture, centre, size * _LOOK_REACH)
            factor = len(part) / _LOOK_SIDE
            small = cv2.resize(part, (_LOOK_SIDE, _LOOK_SIDE), interpolation=cv2.INTER_AREA)
            found = _resized(self._detector(small), (factor, factor), corner)
            found = found[found[:, 4] >= self._settings.min_confidence]
            overlap = boxes.iou(found[:, :4], face[:4])
            if len(found) and overlap.max() > 0.3:
                seen.append(found[overlap.argmax()])
        return without_doubles(np.array(seen).reshape(-1, 15))


def cut_square(picture: np.ndarray, centre: np.ndarray, side: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the square part of a picture about `centre` (x, y), and its corner (x, y) in whole pixels.

    What lies outside of the picture repeats its edge.
    """
    height, width = picture.shape[:2]
    length = max(2, int(np.ceil(side)))
    corner = np.round(np.asarray(centre) - length / 2).astype(int)
    missing = np.maximum(0, [-corner[1], corner[1] + length - height, -corner[0], corner[0] + length - width])
    x, y = np.maximum(corner, 0)
    part = picture[y : corner[1] + length, x : corner[0] + length]
    if missing.any():
        part = cv2.copyMakeBorder(part, *missing.tolist(), cv2.BORDER_REPLICATE)
    return part, corner


def without_doubles(found: np.ndarray, overlap: float = 0.6) -> np.ndarray:
    """Return the detections (n, 15), most confident first, less those that a more confident one mostly covers.

    Of two boxes one is a double if they share more than `overlap` of the smaller one.
    """
    found = found[np.argsort(-found[:, 4], kind="stable")]
    kept: list[int] = []
    for i, box in enumerate(found[:, :4]):
        shared = boxes.area(boxes.intersection(found[kept, :4], box))
        smaller = np.minimum(boxes.area(found[kept, :4]), boxes.area(box))
        if not (shared > overlap * smaller).any():
            kept.append(i)
    return found[kept]


def _yuface(_: Settings) -> Detector:
    """YuNet compiled into the yuface package (libfacedetection, S. Yu); its numbers are whole pixels.

    The library is called by itself: the package's own function keeps 36 KB of each picture for ever.
    """
    from threadpoolctl import threadpool_limits

    folder = Path(next(iter(find_spec("yuface").submodule_search_locations)))
    find = getattr(ctypes.CDLL(str(folder / "libfacedetection.so")), _FACES_OF_PICTURE)
    find.restype = ctypes.POINTER(ctypes.c_int)
    find.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_int]
    # On pictures this small its threads would wait for each other most of the time.
    threadpool_limits(1, user_api="openmp")
    # The number of faces in four bytes, then of each: confidence, x, y, width, height, five points, one unused.
    room = np.zeros(_ROOM_OF_FACES, dtype=np.int16)

    def detector(picture: np.ndarray) -> np.ndarray:
        picture = np.ascontiguousarray(picture)
        height, width, channels = picture.shape
        count = find(room.ctypes.data, picture.ctypes.data, width, height, width * channels)[0]
        rows = room[2 : 2 + 16 * count].reshape(count, 16).astype(float)
        rows = rows[rows[:, 0] > 0]
        found = np.column_stack([rows[:, 1:5], rows[:, 0] / 100, rows[:, 5:15]])
        # A whole pixel stands for its middle.
        found[:, [0, 1, *range(5, 15)]] += 0.5
        return _face_spans(found)

    return detector


def _yunet(settings: Settings) -> Detector:
    """YuNet from an ONNX file, run by OpenCV."""
    if not Path(settings.weights).is_file():
        raise InputError(
            f"faces: the model yunet needs its weights: {settings.weights or 'no file'} is not there; "
            "set faces: weights: to the path of an ONNX file of YuNet or use the model yuface."
        )
    net = cv2.FaceDetectorYN.create(settings.weights, "", (320, 320), 0.3, 0.3, 1000)

    def detector(picture: np.ndarray) -> np.ndarray:
        net.setInputSize((picture.shape[1], picture.shape[0]))
        found = net.detect(picture)[1]
        found = np.zeros((0, 15)) if found is None else found.astype(float)
        return _face_spans(found[:, [0, 1, 2, 3, 14, *range(4, 14)]])

    return detector


MODELS: dict[str, Callable[[Settings], Detector]] = {
    "yuface": _yuface,
    "yunet": _yunet,
    "scrfd": lambda settings: insightface.scrfd(settings.weights),
}


def _face_spans(found: np.ndarray) -> np.ndarray:
    """Return detections (n, 15) whose boxes, given as x, y, width, height, span the faces as corners."""
    size = np.tile(found[:, 2:4], 2)
    corners = np.concatenate([found[:, :2], found[:, :2] + found[:, 2:4]], axis=1)
    return np.concatenate([corners + size * _YUNET_MARGINS, found[:, 4:]], axis=1)


def _resized(found: np.ndarray, factor: Sequence[float], shift: Sequence[float] = (0.0, 0.0)) -> np.ndarray:
    """Return detections (n, 15) with x and y multiplied by `factor` (2,), then moved by `shift` (2,)."""
    out = found.copy()
    for axis in (0, 1):
        places = [axis, 2 + axis, *range(5 + axis, 15, 2)]
        out[:, places] = found[:, places] * factor[axis] + shift[axis]
    return out
