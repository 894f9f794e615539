"""LR-ASD (Liao et al., LR-ASD: Lightweight and Robust Network for Active Speaker Detection, IJCV 2025): 0.84 M values, 16 kHz and 25 fps."""

import torch
from torch import Tensor, nn

from talking.speaking.asd_encoders import AudioEncoder, VisualEncoder

_EPS = 1e-3


class _Block(nn.Module):
    """Two spatial convolutions (5 and 3 wide), then two temporal ones (5 and 3 long), each normalised."""

    def __init__(
        self, c_in: int, c_out: int, convolution: type, norm: type, space: str, stride: tuple | int = 1
    ) -> None:
        super().__init__()
        self.parts = [(space, 1), (space, 2), ("t", 1), ("t", 2)]
        widths = (c_in, c_out // 2, c_out, c_out, c_out)
        for i, (name, number) in enumerate(self.parts):
            kernel = _kernel(convolution, 5 if number == 1 else 3, in_time=name == "t")
            half = tuple(k // 2 for k in kernel)
            part = convolution(widths[i], widths[i + 1], kernel, stride if i == 0 else 1, half, bias=False)
            setattr(self, f"{name}_{number}", part)
            setattr(self, f"{name}_norm_{number}", norm(widths[i + 1], eps=_EPS))

    def forward(self, x: Tensor) -> Tensor:
        for name, number in self.parts:
            x = getattr(self, f"{name}_norm_{number}")(getattr(self, f"{name}_{number}")(x)).relu()
        return x


class _Gate(nn.Module):
    """Two streams side by side, each channel weighed by what all of them show in its frame."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = nn.Conv1d(width, width, 1, bias=False)
        self.bn = nn.BatchNorm1d(width, eps=_EPS)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        both = torch.cat([first, second], dim=2).transpose(1, 2)
        return (both * self.bn(self.attention(both)).sigmoid()).transpose(1, 2)


class _Detector(nn.Module):
    """One recurrent pass forward and one backward over the same features, gated."""

    def __init__(self) -> None:
        super().__init__()
        self.gru_forward = nn.GRU(256, 64, batch_first=True)
        self.gru_backward = nn.GRU(256, 64, batch_first=True)
        self.attention = _Gate(128)

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(self.gru_forward(x)[0], self.gru_backward(x.flip(1))[0].flip(1))


class LRASD(nn.Module):
    """The network, with the names of the published file."""

    # A frame's visual features see this many frames to each side.
    context = 9

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.ModuleDict(
            {
                "visualEncoder": VisualEncoder(_Block),
                "audioEncoder": AudioEncoder(_Block),
                "fusion": _Gate(256),
                "detector": _Detector(),
            }
        )
        self.lossAV = nn.ModuleDict({"FC": nn.Linear(128, 2)})

    def see(self, faces: Tensor) -> Tensor:
        """Return visual features (b, t, 128) of grey crops (b, t, 112, 112), 0-255."""
        return self.model["visualEncoder"](((faces.float() / 255 - 0.4161) / 0.1688)[:, None])

    def hear(self, mfcc: Tensor) -> Tensor:
        """Return audio features (b, t, 128) of MFCCs (b, 4 t, 13)."""
        return self.model["audioEncoder"](mfcc.transpose(1, 2)[:, None])

    def judge(self, seen: Tensor, mfcc: Tensor) -> Tensor:
        """Return logits (b, t, 2) of visual features (b, t, 128) and MFCCs (b, 4 t, 13); the score is the second."""
        return self.lossAV["FC"](self.model["detector"](self.model["fusion"](self.hear(mfcc), seen)))


def _kernel(convolution: type, size: int, in_time: bool) -> tuple[int, ...]:
    """Return the kernel of a convolution over (time, height, width) or (coefficients, time), along time or across it."""
    if convolution is nn.Conv3d:
        return (size, 1, 1) if in_time else (1, size, size)
    return (1, size) if in_time else (size, 1)
