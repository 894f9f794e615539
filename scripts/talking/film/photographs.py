"""The studio pictures that people are cut out of, and where their faces are."""

import functools
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

from talking.core.errors import InputError
from talking.core.signals import smooth_step

# Mesh points (MediaPipe's numbering) at the hairline and at the chin.
TOP, CHIN = 10, 152

PEOPLE = [f"P{number:03d}" for number in range(1, 11)]


@functools.lru_cache(maxsize=24)
def photograph(person: str, kind: str) -> np.ndarray:
    """Return the used part of one of a person's pictures, RGB.

    Kinds: "portrait" (head and shoulders), "posture" (head to shins), "left" and "right" (head and shoulders, looking there), and,
    small, "front" and "back" (the same standing person from both sides, at one size and place).
    """
    name = f"studio_{kind}" if kind in ("portrait", "posture") else "character_sheet"
    path = asset(person, name)
    picture = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    if kind == "portrait":
        return picture
    if kind == "posture":
        return picture[60:2460, 118:1418]
    if kind in ("left", "right"):
        return np.ascontiguousarray(picture[146:634, 672:1132][:, :: 1 if kind == "right" else -1])
    left = 74 if kind == "front" else 1261
    return picture[880:1380, left : left + 470]


def asset(person: str, name: str) -> Path:
    """Return the file of one of a person's pictures in the openpeople package; raises InputError if there is none."""
    package = find_spec("openpeople")
    if package is None:
        raise InputError(
            "The package openpeople, with the photographs of people, is not installed; pip install openpeople."
        )
    path = Path(package.submodule_search_locations[0]) / f"data/curated/{person}/assets/{name}.jpg"
    if not path.exists():
        raise InputError(f"There is no person {person} in the openpeople package; the cast is {', '.join(PEOPLE)}.")
    return path


@functools.lru_cache(maxsize=24)
def landmarks(person: str, kind: str) -> np.ndarray:
    """Return MediaPipe's 478 face points (478, 2) in pixels of `photograph`; for "back" where they would be."""
    from mediapipe.python.solutions.face_mesh import FaceMesh

    picture = photograph(person, "front" if kind == "back" else kind)
    whole = (0, 0, picture.shape[1])
    known = {"portrait": whole, "posture": (350, 0, 600), "left": whole, "right": whole}
    left, top, size = known.get(kind, (135, 20, 200))
    crop = np.ascontiguousarray(picture[top : top + size, left : left + size])
    with FaceMesh(static_image_mode=True, refine_landmarks=True, max_num_faces=1) as mesh:
        found = mesh.process(cv2.resize(crop, (600, 600))).multi_face_landmarks[0].landmark
    return np.array([[p.x * crop.shape[1] + left, p.y * crop.shape[0] + top] for p in found])


def face_height(person: str, kind: str) -> float:
    """Return the height of the face, hairline to chin, in pixels of `photograph`."""
    points = landmarks(person, kind)
    return float(points[CHIN, 1] - points[TOP, 1])


def cut_out(picture: np.ndarray, shoulders: int, arms: bool) -> np.ndarray:
    """Return RGBA (colours times alpha) of a person before plain grey.

    A segmentation says what is surely person and surely backdrop; between them, alpha is how far a pixel's colour lies from
    the backdrop's, which is known there by continuing it, towards the person's (difference matting), so that curls keep their gaps.
    From the row `shoulders` down there is no hair but shaded cloth, which is taken as opaque; `arms` says that there are gaps between
    arms and body.
    """
    from mediapipe.python.solutions.selfie_segmentation import SelfieSegmentation

    height, width = picture.shape[:2]
    side = max(height, width)
    square = np.full((side, side, 3), np.median(picture[: height // 20], axis=(0, 1)), np.uint8)
    square[:height, :width] = picture
    with SelfieSegmentation(model_selection=0) as segmentation:
        mask = segmentation.process(square).segmentation_mask[:height, :width]
    band = max(3, round(0.035 * width)) | 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (band, band))
    small = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (max(3, round(0.012 * width)) | 1,) * 2)
    person = cv2.erode((mask > 0.9).astype(np.uint8), small)
    backdrop = 1 - cv2.dilate((mask > 0.1).astype(np.uint8), kernel)
    colours = picture.astype(np.float32)
    behind = _continued(colours, backdrop, 0.04 * width)
    if arms:
        # The segmentation bridges the gap between arm and body: what has the backdrop's colour there is backdrop.
        gap = (np.abs(colours - behind).max(axis=-1) < 20).astype(np.uint8)
        gap[:shoulders] = 0
        gap = cv2.morphologyEx(
            gap, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (max(3, band // 3),) * 2)
        )
        person[cv2.dilate(gap, small) > 0] = 0
    front = _continued(colours, person, 0.012 * width)
    span = front - behind
    distance = (span**2).sum(axis=-1)
    alpha = ((colours - behind) * span).sum(axis=-1) / np.maximum(distance, 1)
    soft = np.where(np.arange(height) < shoulders, 0.75, 0.3)[:, None]
    alpha = np.clip((alpha - 0.1) / soft, 0, 1)
    alpha = np.where(distance > 20**2, alpha, smooth_step((mask - 0.3) / 0.4))
    alpha = np.where(person > 0, 1, np.where(backdrop > 0, 0, alpha)).astype(np.float32)
    coloured = np.clip(colours - (1 - alpha[..., None]) * behind, 0, 255 * alpha[..., None])
    return np.dstack([coloured, 255 * alpha]).round().astype(np.uint8)


def _continued(colours: np.ndarray, known: np.ndarray, sigma: float) -> np.ndarray:
    """Return colours (height, width, 3) continued smoothly from where they are known to everywhere, nearest first."""
    shrink = max(1.0, sigma / 3)
    size = tuple(max(2, round(n / shrink)) for n in colours.shape[1::-1])
    weight = cv2.resize(known.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    weighted = cv2.resize(colours * known[..., None], size, interpolation=cv2.INTER_AREA)
    out = np.zeros_like(weighted)
    todo = np.ones_like(weight)
    for factor in (1, 3, 9, 27):
        total = cv2.GaussianBlur(weighted, (0, 0), factor * sigma / shrink, borderType=cv2.BORDER_REPLICATE)
        share = cv2.GaussianBlur(weight, (0, 0), factor * sigma / shrink, borderType=cv2.BORDER_REPLICATE)
        sure = np.clip(share * 20, 0, 1) if factor < 27 else 1
        out += total / np.maximum(share, 1e-6)[..., None] * (todo * sure)[..., None]
        todo *= 1 - sure
    return cv2.resize(out, colours.shape[1::-1], interpolation=cv2.INTER_LINEAR)
