"""Sapiens (Khirodkar et al., ECCV 2024) for the 133 keypoints: its published TorchScript files, batched over people and frames.

Each person is cut out by a region made from the face; the network gives a heat map a keypoint. Cells are turned into pixels by the
unbiased UDP rule (Huang et al., CVPR 2020); below a cell the peak is that of a Gaussian fitted around it.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from talking.core import keypoints, pictures
from talking.core.errors import InputError
from talking.poses.looks import Face, Piece
from talking.poses.reading import Picture

# The network's input and its normalisation, in RGB.
HEIGHT, WIDTH = 1024, 768
STRIDE = 4
_MEAN, _SPREAD = (123.5, 116.5, 103.5), (58.5, 57.0, 57.5)
# The region cut out, in face sizes: where it begins above the face's middle, and its height, which is that of a standing person
# unless the picture ends before, but never so small that outstretched arms would not fit its width.
_ABOVE, _STANDING, _SMALLEST = 1.5, 11.0, 6.5
# Cells on each side of the highest one to which a Gaussian is fitted (those of training have a sigma of 6 cells).
_FITTED = 3

# For each keypoint the one of the other side, for mirrored pictures.
_MIRRORED_FACE = [*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1), 45, 44, 43, 42, 47, 46, 39, 38, 37,
                  36, 41, 40, *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), *range(67, 64, -1)]  # fmt: skip


def _mirrored() -> list[int]:
    def other(name: str) -> str:
        side, _, rest = name.partition("_")
        return {"left": f"right_{rest}", "right": f"left_{rest}"}.get(side, name)

    return [
        keypoints.FACE.start + _MIRRORED_FACE[i - keypoints.FACE.start]
        if keypoints.FACE.start <= i < keypoints.FACE.stop
        else keypoints.INDEX[other(name)]
        for i, name in enumerate(keypoints.NAMES)
    ]


MIRRORED = _mirrored()


def opened(weights: str | Path, batch: int, flip: bool, threads: int) -> "Sapiens":
    """Load a TorchScript file and return the model.

    Raises InputError if the file is missing or no TorchScript.
    """
    if not Path(weights).is_file():
        raise InputError(
            f"{weights} does not exist; download the Sapiens weights or name their file in poses.sapiens_weights."
        )
    try:
        network = torch.jit.load(str(weights), map_location="cpu").eval()
    except RuntimeError as error:
        raise InputError(f"{weights} is not a TorchScript file; name Sapiens' *_torchscript.pt2 file.") from error
    return Sapiens(network, batch, flip, threads, _MEAN, _SPREAD)


class Sapiens:
    """The network at work: crops of all faces and frames wait until they fill a batch.

    Runs on the GPU if there is one, in bfloat16 where it has it, compiled if the network is no TorchScript. All batches there have
    one size: the last one is filled up.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        batch: int,
        flip: bool,
        threads: int,
        mean: tuple[float, float, float],
        spread: tuple[float, float, float],
    ) -> None:
        """Take a network that gives the 133 heat maps; `mean` and `spread` normalise RGB values of 0-255."""
        torch.set_num_threads(threads)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._is_fixed = self._device.type == "cuda"
        half = self._is_fixed and torch.cuda.is_bf16_supported()
        self._precision = torch.bfloat16 if half else torch.float32
        self._network = network.to(self._device, self._precision)
        if self._is_fixed and not isinstance(network, torch.jit.ScriptModule):
            self._network = torch.compile(self._network, dynamic=False)
        self._batch, self._flip = batch, flip
        self._mean = torch.tensor(mean, device=self._device).view(1, 3, 1, 1)
        self._spread = torch.tensor(spread, device=self._device).view(1, 3, 1, 1)
        self._cutters = ThreadPoolExecutor(threads)
        self._waiting: list[tuple[Piece, int, np.ndarray, np.ndarray]] = []

    def look(self, picture: Picture, frame: int, pieces: Sequence[Piece]) -> None:
        """Take the next frame of some pieces."""
        self._waiting += self._cutters.map(lambda piece: (piece, frame, *_cut(picture, piece.face(frame))), pieces)
        while len(self._waiting) >= self._batch:
            self._run()

    def flush(self) -> None:
        """Add what still waits to the pieces."""
        while self._waiting:
            self._run()

    def _run(self) -> None:
        now, self._waiting = self._waiting[: self._batch], self._waiting[self._batch :]
        points, scores = self.points(np.stack([crop for _, _, crop, _ in now]))
        for (piece, frame, _, to_crop), found, score in zip(now, points, scores, strict=True):
            piece.add(frame, (found - to_crop[:, 2]) / to_crop[0, 0], score)

    @torch.inference_mode()
    def points(self, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return keypoints (n, 133, 2) in px of crops (n, 1024, 768, 3) uint8, and scores (n, 133)."""
        number = len(crops)
        if self._is_fixed and number < self._batch:
            crops = np.concatenate([crops, np.zeros((self._batch - number, *crops.shape[1:]), np.uint8)])
        pictures = torch.from_numpy(crops).to(self._device).permute(0, 3, 1, 2).float()
        pictures = ((pictures - self._mean) / self._spread).to(self._precision)
        heat = self._network(pictures).float()
        if self._flip:
            mirrored = self._network(pictures.flip(-1)).float()
            heat = (heat + mirrored.flip(-1)[:, MIRRORED]) / 2
        return decode(heat[:number])


def _cut(picture: Picture, face: Face) -> tuple[np.ndarray, np.ndarray]:
    """Return the region of a face's body in its window, and the map (2, 3) from the picture to it."""
    x1, y1, x2, y2 = face.window
    crop, to_crop = cut_out(picture.rgb()[y1:y2, x1:x2], face.box - np.tile(face.window[:2], 2))
    to_crop[:, 2] -= to_crop[0, 0] * face.window[:2]
    return crop, to_crop


def cut_out(picture: np.ndarray, face: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the region (1024, 768, 3) around the body below a face box (4,) and the map (2, 3) from picture to region px.

    What lies beyond the picture is black.
    """
    x, y, size = (face[0] + face[2]) / 2, (face[1] + face[3]) / 2, max(face[2] - face[0], face[3] - face[1])
    top = y - _ABOVE * size
    height = np.clip(picture.shape[0] - top, _SMALLEST * size, _STANDING * size)
    scale = (HEIGHT - 1) / height
    to_crop = np.array([[scale, 0, (WIDTH - 1) / 2 - x * scale], [0, scale, -top * scale]])
    return pictures.warped(picture, to_crop, (WIDTH, HEIGHT)), to_crop


def decode(heat: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return points (n, k, 2) in input px and scores (n, k) of heat maps (n, k, h, w): the peaks, to a part of a cell, and heights.

    A paraboloid is fitted to the logarithm around the highest cell, each cell weighted by its square as noise matters less there
    (Guo, A simple algorithm for fitting a Gaussian function, 2011); it is exact for a Gaussian, at the map's edges too. The first
    and last cells of a map lie on the first and last pixels of the input (UDP).
    """
    n, k, height, width = heat.shape
    maps = heat.reshape(n * k, height * width).double()
    scores, highest = maps.max(-1)
    cell = torch.stack([highest % width, highest // width], dim=-1)
    last = torch.tensor([width - 1, height - 1], device=heat.device)
    centre = torch.minimum(cell.clamp(min=_FITTED), last - _FITTED)
    reach = torch.arange(-_FITTED, _FITTED + 1, device=heat.device)
    dy, dx = (offset.reshape(-1) for offset in torch.meshgrid(reach, reach, indexing="ij"))
    around = maps.gather(1, (centre[:, 1:] + dy) * width + centre[:, :1] + dx)
    peak = centre + _paraboloid_peak(around, dx.double(), dy.double())
    peak = torch.where(((peak - cell).abs() < 1).all(-1, keepdim=True), peak, cell.double())
    to_input = torch.tensor([width * STRIDE - 1, height * STRIDE - 1], device=heat.device) / last
    points = (peak * to_input).reshape(n, k, 2)
    return points.cpu().numpy(), scores.clamp(0, 1).reshape(n, k).cpu().numpy()


def _paraboloid_peak(values: torch.Tensor, dx: torch.Tensor, dy: torch.Tensor) -> torch.Tensor:
    """Return the peaks (m, 2) as x, y of paraboloids fitted to the logarithms of values (m, c) at offsets (c,); NaN if there is none."""
    values = values.clamp(min=1e-9)
    terms = torch.stack([torch.ones_like(dx), dx, dy, dx * dx, dx * dy, dy * dy], dim=-1)
    weighted = terms * (values / values.amax(-1, keepdim=True)).square()[..., None]
    # A touch of ridge: maps that are flat all over would leave nothing to solve.
    normal = weighted.transpose(1, 2) @ terms + 1e-12 * torch.eye(6, device=values.device, dtype=values.dtype)
    _, x, y, xx, xy, yy = torch.linalg.solve(normal, (weighted * values.log()[..., None]).sum(1)).unbind(-1)
    bend = 4 * xx * yy - xy * xy
    peak = torch.stack([xy * y - 2 * yy * x, xy * x - 2 * xx * y], dim=-1) / bend[:, None]
    return torch.where(((bend > 0) & (xx < 0))[:, None], peak, torch.nan)
