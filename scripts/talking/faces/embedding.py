"""From the best faces of every track to an embedding of the track, by which persons are recognised."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from talking.core import onnx_networks
from talking.core.cli import setting
from talking.faces import kept
from talking.video import media, parts

# For each model: the length of an embedding, and the largest average cosine distance of the tracks of one person.
DIMENSIONS = {"dlib": 128, "arcface": 512}


SAME_PERSON = {"dlib": 0.07, "arcface": 0.6}

# What of the landmarks is read.
MARKS = ("points", "yaw", "pitch", "blur", "face", "face_row", "face_end", "face_corner", "face_scale")


# A picture and the points (68, 2) of a face in it, and its embedding.
Embedder = Callable[[tuple[np.ndarray, np.ndarray]], np.ndarray]


@dataclass(frozen=True)
class Settings:
    """Settings of the face embeddings."""

    model: str = setting("dlib", "face embedding", choices=("dlib", "arcface"))
    weights: str = setting("", "ONNX file, for the model arcface")
    faces_per_track: int = setting(
        8, "largest number of faces of a track that are embedded and averaged", minimum=1, maximum=kept.MOST
    )
    smallest_px: float = setting(24.0, "tracks whose faces are all smaller are not compared (longer side in pixels)")
    least_sharp: float = setting(4.0, "faces of lower sharpness are not compared, as all blurred faces look alike")
    most_yaw: float = setting(50.0, "faces turned further to the side are not compared, in degrees")


def embed(
    tracks: pd.DataFrame, landmarks: Mapping[str, np.ndarray], settings: Settings, part: str = ""
) -> dict[str, np.ndarray]:
    """Return the arrays of `embeddings/{video}.npz`, or of a `part` of it: track (k), embedding (k, d) of unit length, faces (k), same_person (1).

    Of each track the best faces are embedded, spread over its length, and averaged; `faces` is their number and
    `same_person` the distance up to which the model's embeddings are of one person. A track without a face that is large, frontal
    and marked has no entry. The faces' pictures are those that the landmarks keep.
    """
    chosen = choose(tracks, landmarks, settings) if len(tracks) else []
    if len(chosen):
        mine, rows = parts.rows_of(part, tracks), landmarks["face_row"][chosen]
        chosen = chosen[(rows >= mine.start) & (rows < mine.stop)]
    sums: dict[int, np.ndarray] = {}
    counts: dict[int, int] = {}
    if len(chosen):
        embedder = MODELS[settings.model](settings.weights)
        for batch in media.batches(
            tqdm(chosen, desc="embeddings", unit="face", mininterval=5), onnx_networks.taken_together(embedder)
        ):
            faces = [kept.face(landmarks, number) for number in batch]
            for number, vector in zip(batch, onnx_networks.each_of(embedder, faces), strict=True):
                track = int(tracks["track"].iloc[landmarks["face_row"][number]])
                sums[track] = sums.get(track, 0) + vector
                counts[track] = counts.get(track, 0) + 1
    known = sorted(sums)
    mean = np.array([sums[t] for t in known], dtype=float).reshape(-1, DIMENSIONS[settings.model])
    return {
        "track": np.array(known, dtype=np.int32),
        "embedding": (mean / np.linalg.norm(mean, axis=1, keepdims=True)).astype(np.float32),
        "faces": np.array([counts[t] for t in known], dtype=np.int32),
        "same_person": np.array([SAME_PERSON[settings.model]]),
    }


def choose(tracks: pd.DataFrame, landmarks: Mapping[str, np.ndarray], settings: Settings) -> np.ndarray:
    """Return which of the kept faces (places in `face_row`) are worth embedding: from each of equal spans of a track its best one."""
    rows = landmarks["face_row"]
    boxes = tracks[["x1", "y1", "x2", "y2"]].to_numpy(dtype=float)[rows]
    yaw, pitch, blur = (landmarks[name][rows] for name in ("yaw", "pitch", "blur"))
    usable = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0) >= settings.smallest_px
    usable &= (blur >= settings.least_sharp) & (np.abs(yaw) <= settings.most_yaw)
    worth = kept.worth(boxes, yaw, pitch, blur)
    best = []
    for faces in tracks.iloc[rows].groupby("track").indices.values():
        faces = faces[usable[faces]]
        spans = np.array_split(faces, min(settings.faces_per_track, len(faces))) if len(faces) else []
        best += [span[np.argmax(worth[span])] for span in spans]
    return np.sort(np.array(best, dtype=int))


@functools.cache
def dlib_embedder(_weights: str = "") -> Embedder:
    """dlib's residual network for faces (D. King, 2017), 0.99 on Labeled Faces in the Wild, from face_recognition_models."""
    import dlib

    folder = Path(next(iter(find_spec("face_recognition_models").submodule_search_locations))) / "models"
    network = dlib.face_recognition_model_v1(str(folder / "dlib_face_recognition_resnet_model_v1.dat"))

    def embedder(face: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """Return the embedding (128,) of unit length of the face with points (68, 2) in an RGB picture."""
        picture, points = face
        low, high = points.min(axis=0).astype(int), points.max(axis=0).astype(int)
        parts = dlib.points([dlib.point(int(x), int(y)) for x, y in np.round(points)])
        marked = dlib.full_object_detection(dlib.rectangle(*low.tolist(), *high.tolist()), parts)
        found = np.array(network.compute_face_descriptor(np.ascontiguousarray(picture), marked))
        return found / np.linalg.norm(found)

    return embedder


def arcface_embedder(weights: str) -> Embedder:
    """Return the function that gives ArcFace's embeddings, by InsightFace's weights."""
    from talking.faces import insightface

    return insightface.ArcFace(weights)


MODELS: dict[str, Callable[[str], Embedder]] = {"dlib": dlib_embedder, "arcface": arcface_embedder}
