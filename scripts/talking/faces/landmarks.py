"""Mark 68 points on every tracked face, how the head is turned and how sharp the face is."""

import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import scipy
from tqdm import tqdm

from talking.core import mediapipe_parts
from talking.core.cli import setting
from talking.faces import kept, tracked
from talking.faces.detect import cut_square
from talking.video import media

POINTS = 68
# The mesh point (MediaPipe's numbering) that lies where each of the 68 points of iBUG 300-W lies.
MESH_TO_IBUG = np.array(
    [
        *(127, 234, 93, 132, 58, 136, 150, 176, 152, 400, 379, 365, 288, 361, 323, 454, 356),  # outline
        *(70, 63, 105, 66, 107, 336, 296, 334, 293, 300),  # brows
        *(168, 197, 5, 4, 98, 97, 2, 326, 327),  # nose
        *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),  # eyes
        *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),  # outer lips
        *(78, 81, 13, 311, 308, 402, 14, 178),  # inner lips
    ]
)
# Pairs of mesh points that lie level, and that lie one below the other, whatever the mouth does.
_LEVEL = np.array([[33, 263], [133, 362], [234, 454], [98, 327]])
_UPRIGHT = np.array([[10, 2]])
# How far, in degrees, the line of _UPRIGHT leans back in a face that looks straight ahead.
_UPRIGHT_PITCH = 2.5

_BOX = ["x1", "y1", "x2", "y2"]
# One point in the bytes of a list of landmarks: its length, then each number after its field's tag (protobuf's encoding). To ask
# for 478 points one by one takes a twentieth of the network's time.
_POINT_BYTES = np.dtype(
    [("length", "V2"), ("tag_x", "u1"), ("x", "<f4"), ("tag_y", "u1"), ("y", "<f4"), ("tag_z", "u1"), ("z", "<f4")]
)
_BLUR_SIDE = 112
# The mesh gets a square of so many sides of its region: it turns the region itself.
_CUT = 1.5
# Every so many frames a small grey picture of each face is kept: its side in pixels, and its square in longer sides of the box.
THUMBNAIL_STEP, THUMBNAIL_SIDE, THUMBNAIL_REGION = 5, 32, 1.5


@dataclass(frozen=True)
class Settings:
    """Settings of the landmarks."""

    region: float = setting(1.4, "side of the square that the mesh gets, as a multiple of the face box's longer side")
    min_score: float = setting(0.5, "presence score (0-1) below which a face's points are NaN")


class FaceMesh:
    """MediaPipe's face mesh with attention (Grishchenko et al., 2020), in a given region.

    Only the landmark network runs: no detector and no memory of earlier frames, so a face's points depend on
    its picture and square alone.
    """

    _GRAPH = """
        input_stream: "image"  input_stream: "region"  output_stream: "landmarks"  input_side_packet: "attention"
        node {
          calculator: "FaceLandmarkCpu"
          input_stream: "IMAGE:image"  input_stream: "ROI:region"  input_side_packet: "WITH_ATTENTION:attention"
          output_stream: "LANDMARKS:landmarks"
        }
        # One face after the other: threads of its own would only wait for each other, a sixth of the time.
        executor { type: "ApplicationThreadExecutor" }
    """
    # The graph cuts faces with a score under a half; the score itself is a stream inside it.
    _SCORE = "facelandmarkcpu__face_presence_score"

    def __init__(self) -> None:
        mediapipe_parts.prepare()
        from mediapipe.framework.formats.rect_pb2 import NormalizedRect
        from mediapipe.python import CalculatorGraph, ImageFormat, packet_creator, packet_getter

        mediapipe_parts.find_models()
        self._create, self._get, self._rect = packet_creator, packet_getter, NormalizedRect
        self._srgb = ImageFormat.SRGB
        self._graph = CalculatorGraph(graph_config=self._GRAPH)
        self._results: dict[str, list] = {"landmarks": [], self._SCORE: []}
        for name, packets in self._results.items():
            self._graph.observe_output_stream(name, lambda _, packet, to=packets: to.append(packet))
        self._graph.start_run({"attention": packet_creator.create_bool(True)})
        self._time = 0

    def __call__(self, picture: np.ndarray, centre: np.ndarray, side: float, roll: float) -> tuple[np.ndarray, float]:
        """Return the mesh (478, 3) in pixels (z towards the picture, NaN if lost) and its presence score 0-1.

        `picture` is RGB (height, width, 3); the square of `side` pixels about `centre` is turned by `roll` radians.
        """
        cut, corner, factor = _cut(picture, centre, side)
        height, width = cut.shape[:2]
        x, y = (centre - corner) * factor / (width, height)
        region = self._rect(
            x_center=x, y_center=y, width=side * factor / width, height=side * factor / height, rotation=roll
        )
        self._time += 1
        for packets in self._results.values():
            packets.clear()
        image = self._create.create_image_frame(image_format=self._srgb, data=cut)
        self._graph.add_packet_to_input_stream("image", image.at(self._time))
        self._graph.add_packet_to_input_stream("region", self._create.create_proto(region).at(self._time))
        self._graph.wait_until_idle()
        score = self._get.get_float(self._results[self._SCORE][0])
        if not self._results["landmarks"]:
            return np.full((478, 3), np.nan), score
        points = np.frombuffer(self._get.get_proto(self._results["landmarks"][0]).SerializeToString(), _POINT_BYTES)
        mesh = np.empty((len(points), 3))
        for axis, name in enumerate("xyz"):
            mesh[:, axis] = points[name]
        mesh *= np.array([width, height, width]) / factor
        mesh[:, :2] += corner
        return mesh, score

    def close(self) -> None:
        """End the graph."""
        for stream in ("image", "region"):
            self._graph.close_input_stream(stream)
        self._graph.wait_until_done()


def of_picture(picture: np.ndarray, faces: np.ndarray, mesh: FaceMesh | None = None) -> np.ndarray:
    """Return the 68 points (n, 68, 2) px of the faces (n, 4) px of one RGB picture (h, w, 3), NaN where lost."""
    settings, marks = Settings(), mesh or FaceMesh()
    found = [marks(picture, (b[:2] + b[2:]) / 2, settings.region * np.max(b[2:] - b[:2]), 0.0) for b in faces]
    if mesh is None:
        marks.close()
    return np.stack(
        [p[MESH_TO_IBUG, :2] if score >= settings.min_score else np.full((POINTS, 2), np.nan) for p, score in found]
    )


def mark(video: str | Path, tracks: pd.DataFrame, settings: Settings) -> dict[str, np.ndarray]:
    """Return the arrays of `landmarks/{video}.npz` for a `tracks` table of a `media/` video, decoding where faces are.

    Of the faces beyond the eight largest of a picture, an audience, only every fifth frame is looked at, and what is between is
    filled in. One entry for each row of the table, in its order: track, frame, points (n, 68, 2) in the pixels of the video
    and the order of iBUG 300-W (NaN where lost), score 0-1, yaw, pitch, roll in degrees, blur (larger is sharper).
    `thumbnail` (k, 32, 32) holds small grey pictures of the faces of every fifth frame, and `thumbnail_row` (k) their rows: living
    faces are told from stills by them. `face…` holds the best faces of each track (`kept.Keeper.arrays`), by which persons are
    recognised. Neither needs another decode.
    """
    count = len(tracks)
    small = np.flatnonzero(tracks.frame.to_numpy() % THUMBNAIL_STEP == 0)
    out = {
        "track": tracks.track.to_numpy(dtype=np.int32),
        "frame": tracks.frame.to_numpy(dtype=np.int32),
        "points": np.full((count, POINTS, 2), np.nan, dtype=np.float32),
        "score": np.zeros(count, dtype=np.float32),
        **{name: np.full(count, np.nan, dtype=np.float32) for name in ("yaw", "pitch", "roll")},
        "blur": np.zeros(count, dtype=np.float32),
        "thumbnail": np.zeros((len(small), THUMBNAIL_SIDE, THUMBNAIL_SIDE), dtype=np.uint8),
        "thumbnail_row": small.astype(np.int32),
    }
    keeper = kept.Keeper(tracks)
    if not count:
        return out | keeper.arrays()
    boxes = tracks[_BOX].to_numpy(dtype=float)
    steady = _steadied(boxes, out["track"])
    # How many frames lie between those of a row's track that are looked at.
    step = np.where(tracked.in_audience(tracks), THUMBNAIL_STEP, 1)
    looked_at = _looked_at(tracks, step)
    rows_of = {int(frame): looked_at[rows] for frame, rows in tracks.iloc[looked_at].groupby("frame").indices.items()}
    rolls: dict[int, tuple[int, float]] = {}
    mesh = FaceMesh()
    pictures = media.parts_at(video, rows_of)
    for frame, whole in tqdm(pictures, total=len(rows_of), desc="landmarks", unit="frame", mininterval=5):
        for row in rows_of[frame]:
            number = int(out["track"][row])
            before, roll = rolls.get(number, (-THUMBNAIL_STEP - 1, 0.0))
            x1, y1, x2, y2 = steady[row]
            centre, side = np.array([x1 + x2, y1 + y2]) / 2, max(x2 - x1, y2 - y1) * settings.region
            picture, origin = _about_face(whole, steady[row], boxes[row], side)
            corners = np.concatenate([origin, origin])
            points, out["score"][row] = mesh(
                picture, centre - origin, side, roll if frame - before <= step[row] else 0.0
            )
            out["blur"][row] = sharpness(picture, boxes[row] - corners)
            if frame % THUMBNAIL_STEP == 0:
                out["thumbnail"][np.searchsorted(small, row)] = thumbnail(picture, steady[row] - corners)
            if out["score"][row] < settings.min_score or np.isnan(points).any():
                continue
            points[:, :2] += origin
            out["points"][row] = points[MESH_TO_IBUG, :2]
            out["yaw"][row], out["pitch"][row], out["roll"][row] = head_angles(points)
            rolls[number] = frame, np.deg2rad(float(out["roll"][row]))
            value = kept.worth(boxes[row], out["yaw"][row], out["pitch"][row], out["blur"][row])
            keeper.see(row, float(value), picture, steady[row], origin)
    mesh.close()
    _fill_in(out, looked_at)
    return out | keeper.arrays()


def _looked_at(tracks: pd.DataFrame, step: np.ndarray) -> np.ndarray:
    """Return the rows of a `tracks` table that are marked: frames that are multiples of `step` (n,), and both ends of each track."""
    frame = tracks["frame"]
    ends = frame.groupby(tracks["track"]).agg(["min", "max"]).loc[tracks["track"]].to_numpy()
    is_end = (frame.to_numpy()[:, None] == ends).any(axis=1)
    return np.flatnonzero((frame.to_numpy() % step == 0) | is_end)


def _fill_in(out: dict[str, np.ndarray], looked_at: np.ndarray) -> None:
    """Fill in what is between the rows of a track that were looked at, by straight lines."""
    is_seen = np.zeros(len(out["track"]), dtype=bool)
    is_seen[looked_at] = True
    for number in np.unique(out["track"][~is_seen]):
        rows = np.flatnonzero(out["track"] == number)
        seen, frames = rows[is_seen[rows]], out["frame"][rows]
        for name in ("points", "score", "yaw", "pitch", "roll", "blur"):
            flat = out[name][seen].reshape(len(seen), -1)
            filled = [np.interp(frames, out["frame"][seen], column) for column in flat.T]
            out[name][rows] = np.stack(filled, axis=1).reshape(out[name][rows].shape)


def _about_face(whole: media.Parts, steady: np.ndarray, box: np.ndarray, side: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the RGB part of a picture that holds all that is looked at of one face, and its corner (x, y), even numbers."""
    x1, y1, x2, y2 = steady.tolist()
    reach = max(side * _CUT, max(x2 - x1, y2 - y1) * max(THUMBNAIL_REGION, kept.REGION), 2.0) / 2 + 2
    low, high = [], []
    axes = ((x1, x2, box[0], box[2], whole.width), (y1, y2, box[1], box[3], whole.height))
    for first, last, least, most, length in axes:
        middle = (first + last) / 2
        # A face that lies outside of the picture still has a part of it.
        start = min(max(math.floor(min(middle - reach, least) / 2) * 2, 0), (length - 2) // 2 * 2)
        low.append(start)
        high.append(min(max(math.ceil(max(middle + reach, most)), start + 2), length))
    return whole.rgb(*low, *high), np.array(low)


def head_angles(mesh: np.ndarray) -> tuple[float, float, float]:
    """Return yaw, pitch and roll in degrees of a mesh (478, 3).

    Yaw is positive when the face turns to the right of the picture, pitch when it looks up, roll when the head
    leans clockwise in the picture. A face that looks straight into the camera has (0, 0, 0).
    """
    # Plain numbers: numpy takes ten times as long for three of them.
    level, down = _direction(mesh, _LEVEL), _direction(mesh, _UPRIGHT)
    # Mesh axes: x right, y down, z away from the camera; the face looks along `ahead`.
    ahead = [down[i - 2] * level[i - 1] - down[i - 1] * level[i - 2] for i in range(3)]
    yaw = math.atan2(ahead[0], -ahead[2])
    pitch = math.asin(min(1.0, max(-1.0, -ahead[1] / math.hypot(*ahead))))
    roll = math.atan2(level[1], level[0])
    return math.degrees(yaw), math.degrees(pitch) - _UPRIGHT_PITCH, math.degrees(roll)


def sharpness(picture: np.ndarray, box: np.ndarray) -> float:
    """Return how sharp the face in a box (4,) of an RGB picture is: the variance of the Laplacian at 112 pixels."""
    x1, y1, x2, y2 = box.tolist()
    face = picture[max(math.floor(y1), 0) : math.ceil(y2), max(math.floor(x1), 0) : math.ceil(x2)]
    if face.size == 0:
        return 0.0
    grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)
    shrinks = min(grey.shape) > _BLUR_SIDE
    grey = cv2.resize(grey, (_BLUR_SIDE, _BLUR_SIDE), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return float(cv2.Laplacian(grey, cv2.CV_32F).var())


def thumbnail(picture: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Return a grey picture (32, 32) uint8 of the square around the face in a box (4,) of an RGB picture; its edge is repeated beyond it."""
    side = max((box[2:] - box[:2]).max() * THUMBNAIL_REGION, 2.0)
    part, _ = cut_square(picture, (box[:2] + box[2:]) / 2, side)
    grey = cv2.cvtColor(part, cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (THUMBNAIL_SIDE, THUMBNAIL_SIDE), interpolation=cv2.INTER_AREA)


def _cut(picture: np.ndarray, centre: np.ndarray, side: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Return a square part of a picture around a smaller square, its corner (x, y) and its scale.

    The graph turns points correctly only in square pictures. The network samples single pixels, so large faces
    are shrunk here by area first; small ones are left to it.
    """
    part, corner = cut_square(picture, centre, side * _CUT)
    target = round(len(part) * min(1.0, 256 / side))
    factor = target / len(part)
    if factor < 1:
        part = cv2.resize(part, (target, target), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(part), corner, factor


def _steadied(boxes: np.ndarray, tracks: np.ndarray) -> np.ndarray:
    """Return boxes (n, 4) smoothed within each track: the detector's jitter of a pixel would shake the points."""
    out = boxes.copy()
    for number in np.unique(tracks):
        rows = tracks == number
        out[rows] = scipy.ndimage.gaussian_filter1d(boxes[rows], 2.0, axis=0, mode="nearest")
    return out


def _direction(mesh: np.ndarray, pairs: np.ndarray) -> list[float]:
    vector = (mesh[pairs[:, 1]] - mesh[pairs[:, 0]]).mean(axis=0).tolist()
    length = math.hypot(*vector)
    return [value / length for value in vector]
