"""Published evaluation networks for pictures and lips, rebuilt from their papers so that their weights are read as plain tensors.

LPIPS (Zhang et al., 2018) and SyncNet (Chung & Zisserman, 2016), with LSE-C and LSE-D (Prajwal et al., 2020).
"""

from pathlib import Path

import numpy as np
import scipy.fft
import torch
import torch.nn.functional as F
import torchmetrics
from torch import nn

from covog import convert
from talking.core.errors import InputError
from talking.video import media

ALEXNET, SYNCNET = "alexnet-owt-7be5be79.pth", "syncnet_v2.model"
# Pictures of one SyncNet input, the side of its face crops in px, and the largest shift of the sound in frames.
LIPS_FRAMES, LIPS_SIDE, MOST_SHIFT = 5, 224, 15
# MFCC rows of one input, and rows a video frame.
_HEARD_ROWS, _ROWS_PER_FRAME = 20, 4


class Lpips(nn.Module):
    """Perceptual distance of two pictures, by AlexNet's features and the published weights of its channels."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(),
        )  # fmt: skip
        # LPIPS' own weights come with torchmetrics; AlexNet's are downloaded.
        heads = convert.read_tensors(Path(torchmetrics.__file__).parent / "functional/image/lpips_models/alex.pth")
        for number in range(5):
            self.register_buffer(f"head{number}", heads[f"lin{number}.model.1.weight"], persistent=False)
        shift, scale = torch.tensor([[-0.030, -0.088, -0.188], [0.458, 0.448, 0.450]])[..., None, None]
        self.register_buffer("shift", shift, persistent=False)
        self.register_buffer("scale", scale, persistent=False)

    @classmethod
    def of(cls, path: Path) -> "Lpips":
        """Read AlexNet's published weights; its classifier is not taken. Raises InputError if they do not fit."""
        return _filled(cls(), path, "features.")

    @torch.inference_mode()
    def forward(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """Return the distance (n,) of pictures (n, 3, h, w) in 0-1."""
        hidden = [(2 * pictures - 1 - self.shift) / self.scale for pictures in (one, other)]
        total, layer = torch.zeros(len(one), device=one.device), 0
        for part in self.features:
            hidden = [part(h) for h in hidden]
            if isinstance(part, nn.ReLU):
                a, b = (F.normalize(h, dim=1, eps=1e-10) for h in hidden)
                total = total + F.conv2d((a - b).square(), getattr(self, f"head{layer}")).mean(dim=(1, 2, 3))
                layer += 1
        return total


class SyncNet(nn.Module):
    """Two encoders that map five pictures of a face and the sound at the same time to near embeddings."""

    def __init__(self) -> None:
        super().__init__()

        def flat(wide: int, out: int, kernel: tuple[int, int] | int = 3, padding: int = 1) -> list[nn.Module]:
            return [nn.Conv2d(wide, out, kernel, padding=padding), nn.BatchNorm2d(out), nn.ReLU()]

        def deep(wide: int, out: int, kernel: tuple, stride: tuple = (1, 1, 1), padding: tuple = (0, 1, 1)) -> list:
            return [nn.Conv3d(wide, out, kernel, stride, padding), nn.BatchNorm3d(out), nn.ReLU()]

        def ends() -> nn.Sequential:
            return nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, 1024))

        # The names are the published file's.
        self.netcnnaud = nn.Sequential(
            *flat(1, 64), nn.MaxPool2d(1, 1),
            *flat(64, 192), nn.MaxPool2d(3, (1, 2)),
            *flat(192, 384), *flat(384, 256), *flat(256, 256), nn.MaxPool2d(3, 2),
            *flat(256, 512, (5, 4), 0),
        )  # fmt: skip
        self.netfcaud = ends()
        self.netcnnlip = nn.Sequential(
            *deep(3, 96, (5, 7, 7), (1, 2, 2), (0, 0, 0)), nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *deep(96, 256, (1, 5, 5), (1, 2, 2)), nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
            *deep(256, 256, (1, 3, 3)), *deep(256, 256, (1, 3, 3)), *deep(256, 256, (1, 3, 3)),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *deep(256, 512, (1, 6, 6), padding=(0, 0, 0)),
        )  # fmt: skip
        self.netfclip = ends()

    @classmethod
    def of(cls, path: Path) -> "SyncNet":
        """Read the published weights. Raises InputError if they do not fit."""
        return _filled(cls(), path, "net")

    @torch.inference_mode()
    def see(self, faces: np.ndarray) -> np.ndarray:
        """Return the embeddings (n, 1024) of n times five face crops (n, 5, 224, 224, 3) RGB uint8."""
        # The published network was trained on BGR pictures, 0-255.
        rows = torch.from_numpy(np.ascontiguousarray(faces[..., ::-1])).to(self._device).permute(0, 4, 1, 2, 3).float()
        return self.netfclip(self.netcnnlip(rows).flatten(1)).cpu().numpy()

    @property
    def _device(self) -> torch.device:
        return self.netfclip[0].weight.device

    @torch.inference_mode()
    def hear(self, samples: np.ndarray, frames: int) -> np.ndarray:
        """Return the embeddings (frames, 1024) of the sound that begins with each video frame, of samples -1..1 at 16 kHz."""
        rows = mfcc(np.asarray(samples, dtype=np.float64) * 32768)
        needed = (frames - 1) * _ROWS_PER_FRAME + _HEARD_ROWS
        rows = np.pad(rows, ((0, max(0, needed - len(rows))), (0, 0)), mode="edge")
        heard = np.stack([rows[f * _ROWS_PER_FRAME :][:_HEARD_ROWS].T for f in range(frames)])
        parts = torch.from_numpy(heard).float().to(self._device)[:, None].split(64)
        return torch.cat([self.netfcaud(self.netcnnaud(part).flatten(1)) for part in parts]).cpu().numpy()


def lip_sync_errors(seen: np.ndarray, heard: np.ndarray, frames: np.ndarray) -> tuple[float, float]:
    """Return LSE-C (confidence) and LSE-D (distance) of a face over the requested frames.

    `seen` (f, d) are embeddings of the pictures (NaN where there is no face), `heard` (f, d) of the sound. Distances are
    averaged over the frames for each shift of the sound by up to 15 frames; LSE-D is the least of them, LSE-C how far it
    lies below their median. NaN if no frame has a face.
    """
    frames = frames & np.isfinite(seen).all(axis=1)
    if not frames.any():
        return float("nan"), float("nan")
    padded = np.pad(heard, ((MOST_SHIFT, MOST_SHIFT), (0, 0)))
    shifted = np.stack([padded[shift : shift + len(seen)] for shift in range(2 * MOST_SHIFT + 1)], axis=1)
    distances = np.linalg.norm(seen[frames, None] - shifted[frames], axis=2).mean(axis=0)
    return float(np.median(distances) - distances.min()), float(distances.min())


def mfcc(samples: np.ndarray) -> np.ndarray:
    """Return 13 mel cepstral coefficients (100 a second, 13) of samples at 16 kHz in 16-bit units (Davis & Mermelstein, 1980).

    25 ms windows without a taper, pre-emphasis 0.97, 26 mel bands up to 8 kHz, lifter 22, the first one the log energy.
    """
    rate, length, hop, size, bands = media.SOUND_HZ, 400, 160, 512, 26
    samples = np.concatenate([samples[:1], samples[1:] - 0.97 * samples[:-1]])
    count = 1 + max(0, -(-(len(samples) - length) // hop))
    samples = np.pad(samples, (0, (count - 1) * hop + length - len(samples)))
    windows = np.lib.stride_tricks.sliding_window_view(samples, length)[::hop]
    power = np.abs(np.fft.rfft(windows, size)) ** 2 / size
    top = 2595 * np.log10(1 + rate / 2 / 700)
    edges = np.floor((size + 1) * 700 * (10 ** (np.linspace(0, top, bands + 2) / 2595) - 1) / rate)
    bins = np.arange(size // 2 + 1)
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (bins - low) / np.maximum(middle - low, 1), (high - bins) / np.maximum(high - middle, 1)
    filters = np.where(bins < middle, rising, falling).clip(0) * (bins >= low) * (bins < high)
    tiny = np.finfo(float).eps
    coefficients = scipy.fft.dct(np.log(np.maximum(power @ filters.T, tiny)), norm="ortho")[:, :13]
    coefficients *= 1 + 11 * np.sin(np.pi * np.arange(13) / 22)
    coefficients[:, 0] = np.log(np.maximum(power.sum(axis=1), tiny))
    return coefficients


def _filled(network: nn.Module, path: Path, prefix: str) -> nn.Module:
    tensors = {name: t.float() for name, t in convert.read_tensors(path).items() if name.startswith(prefix)}
    own = network.state_dict()
    wanted = {name for name in own if not name.endswith("num_batches_tracked")}
    misfits = {n for n in wanted & tensors.keys() if own[n].shape != tensors[n].shape}
    wrong = sorted((wanted - tensors.keys()) | (tensors.keys() - own.keys()) | misfits)
    if wrong:
        raise InputError(
            f"{path} is no weights file of {type(network).__name__} ({', '.join(wrong[:3])}); download it again."
        )
    network.load_state_dict(tensors, strict=False)
    return network.eval()
