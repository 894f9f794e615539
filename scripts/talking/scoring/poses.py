"""Distance of a pose model's keypoints from annotated ones, on pictures annotated like COCO-WholeBody (Jin et al., ECCV 2020)."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from talking import poses
from talking.core import boxes, keypoints
from talking.core.errors import InputError
from talking.faces import landmarks
from talking.poses import still

_GROUPS = ("keypoints", "foot_kpts", "face_kpts", "lefthand_kpts", "righthand_kpts")
# A keypoint that is found, and one that is marked as seen (COCO's visibility).
_FOUND, _SEEN = 0.5, 2
# Shoulders nearer than this, in body sizes, have no left and right: the person is seen from the side.
_ACROSS = 0.1


@dataclass
class Person:
    """Somebody in a picture: face box (4,), its points (133, 3: x, y, visibility), the body's size in px.

    `is_face_marked` is true if the annotators boxed the face; else the box is made from the head's keypoints.
    """

    face: np.ndarray
    points: np.ndarray
    size: float
    is_face_marked: bool


def read(pictures: str | Path, annotations: str | Path) -> list[tuple[np.ndarray, list[Person]]]:
    """Return the RGB pictures of a COCO-WholeBody file with the people whose heads are seen; raises InputError if it is none."""
    try:
        content = json.loads(Path(annotations).read_text(encoding="utf-8"))
        return [
            (_picture(Path(pictures) / image["file_name"]), list(_people(content["annotations"], image["id"])))
            for image in content["images"]
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{annotations} holds no COCO-WholeBody annotations ({error!r}); name such a JSON file."
        ) from error


def score(
    annotated: list[tuple[np.ndarray, list[Person]]], settings: poses.Settings, threads: int = 1
) -> dict[str, Any]:
    """Return how far the model's keypoints are from the annotated ones, and how many are found.

    Errors of body keypoints (17) are divided by the square root of the body box's area, of the face's (68) by that of the face
    box's; only keypoints of valid poses count that were marked as seen and were found.
    """
    model, mesh = poses.MODELS[settings.model](settings, threads), landmarks.FaceMesh()
    body, face, found_body, valid, marked, swapped = [], [], [], [], [], []
    for picture, people in annotated:
        faces = np.array([person.face for person in people])
        found = still.of_picture(picture, faces, landmarks.of_picture(picture, faces, mesh), model, settings)
        for i, person in enumerate(people):
            points, scores = found["keypoints"][0, i], found["scores"][0, i]
            off = np.linalg.norm(points - person.points[:, :2], axis=-1)
            seen, known = person.points[:17, 2] == _SEEN, scores[:17] > _FOUND
            valid.append(bool(found["valid"][0, i]))
            found_body.append(known[seen])
            body.append(off[:17][seen & known] / person.size)
            if person.is_face_marked:
                marked.append(valid[-1])
                side = np.sqrt(boxes.area(person.face))
                face.append(off[keypoints.FACE][scores[keypoints.FACE] > 0] / side)
            shoulders = [keypoints.LEFT_SHOULDER, keypoints.RIGHT_SHOULDER]
            across, own = (-np.diff(p[shoulders, 0])[0] for p in (person.points, points))
            if found["valid"][0, i] and abs(across) > _ACROSS * person.size:
                swapped.append(bool(np.sign(own) != np.sign(across)))
    return {
        "people": len(valid),
        "valid_poses": sum(valid),
        "marked_faces": len(marked),
        "valid_poses_of_marked_faces": sum(marked),
        "sides_told": len(swapped),
        "sides_swapped": sum(swapped),
        "body_keypoints_seen": int(sum(part.size for part in found_body)),
        "body_keypoints_found": int(sum(part.sum() for part in found_body)),
        "body_error": _figures(body),
        "face_error": _figures(face),
    }


def _figures(errors: list[np.ndarray]) -> dict[str, float | int | None]:
    values = np.concatenate([*errors, np.zeros(0)])
    figures = {"mean": float(values.mean()), "median": float(np.median(values))} if values.size else {"mean": None, "median": None}  # fmt: skip
    return figures | {"keypoints": int(values.size)}


def _picture(path: Path) -> np.ndarray:
    picture = cv2.imread(str(path))
    if picture is None:
        raise InputError(f"{path} is no picture that can be read.")
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def _people(annotations: list[dict], image: int) -> Iterator[Person]:
    """Yield the people of a picture of whom at least two points of the head are marked."""
    for one in annotations:
        points = np.concatenate([np.reshape(one[group], (-1, 3)) for group in _GROUPS])
        head = points[:5, :2][points[:5, 2] > 0]
        if one["image_id"] != image or len(head) < 2:
            continue
        x, y, width, height = one["face_box"]
        if not one["face_valid"]:
            shoulders = np.linalg.norm(points[5, :2] - points[6, :2])
            side = 1.5 * max(*np.ptp(head, axis=0), 0.35 * shoulders)
            x, y, width, height = *(head.mean(0) - (side / 2, 0.45 * side)), side, side
        face = np.array([x, y, x + width, y + height])
        yield Person(face, points, float(np.sqrt(np.prod(one["bbox"][2:]))), bool(one["face_valid"]))
