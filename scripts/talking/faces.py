"""Find the faces of every frame: boxes, confidences and five landmarks, in one pass over the video."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from talking import boxes, media, tables
from talking.cli import setting
from talking.errors import InputError

POINTS = ("right_eye", "left_eye", "nose", "mouth_right", "mouth_left")

# What has to be moved, in box widths and heights, so that a detector's box spans a face as the truth does: the
# face's outline without ears, from the hairline to the chin. YuNet's boxes reach further up.
_YUNET_MARGINS = np.array([0.015, 0.09, 0.0, -0.02])

# One detection: box, confidence, five points.
_COLUMNS = ["x1", "y1", "x2", "y2", "confidence"] + [f"{p}_{a}" for p in POINTS for a in "xy"]

Detector = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Settings:
    """How faces are found."""

    model: str = setting("yuface", "face detector", choices=("yuface", "yunet"))
    weights: str = setting("", "ONNX file of YuNet for the model yunet; yuface has its own")
    search_lines: int = setting(
        360, "shorter side, in pixels, of the picture that is searched; finds faces from 1/30 of it"
    )
    min_confidence: float = setting(0.45, "detections below are not written (0-1)")


def detect(video: str | Path, settings: Settings) -> pd.DataFrame:
    """Return the `faces` table of a `media/` video in one decode; boxes and points are in the pixels of the video.

    The detector is YuNet (Wu et al., Machine Intelligence Research 2023), which was trained on WIDER FACE.
    Raises InputError if the model's weights are missing.
    """
    width, height, count = media.size_and_length(video)
    detector = MODELS[settings.model](settings)
    if not width:
        return tables.empty("faces")
    factor = min(1.0, settings.search_lines / min(width, height))
    pictures = media.frames(video, height=round(height * factor), pixel_format="bgr24")
    rows = []
    for frame, picture in enumerate(tqdm(pictures, total=count, desc="faces", unit="frame", mininterval=5)):
        found = without_doubles(detector(picture))
        found = found[found[:, 4] >= settings.min_confidence]
        back = np.array([width / picture.shape[1], height / picture.shape[0]])
        found[:, :4] *= np.tile(back, 2)
        found[:, 5:] *= np.tile(back, len(POINTS))
        rows.append(np.column_stack([np.full(len(found), frame), found]))
    table = pd.DataFrame(np.concatenate(rows) if rows else np.zeros((0, 16)), columns=["frame", *_COLUMNS])
    return table.astype({"frame": int})


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
    """YuNet compiled into the yuface package (libfacedetection, S. Yu); its numbers are whole pixels."""
    import yuface

    def detector(picture: np.ndarray) -> np.ndarray:
        confidences, found, points = yuface.detect(np.ascontiguousarray(picture), 0.0)
        found = np.column_stack([found, confidences / 100, points]).astype(float)
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


MODELS: dict[str, Callable[[Settings], Detector]] = {"yuface": _yuface, "yunet": _yunet}


def _face_spans(found: np.ndarray) -> np.ndarray:
    """Return detections (n, 15) whose boxes, given as x, y, width, height, span the faces as corners."""
    size = np.tile(found[:, 2:4], 2)
    corners = np.concatenate([found[:, :2], found[:, :2] + found[:, 2:4]], axis=1)
    return np.concatenate([corners + size * _YUNET_MARGINS, found[:, 4:]], axis=1)
