"""Light-ASD (Liao et al., A Light Weight Model for Active Speaker Detection, CVPR 2023): 1 M values, 16 kHz and 25 fps."""

from torch import Tensor, nn

from talking.speaking.asd_encoders import AudioEncoder, VisualEncoder

_EPS = 1e-3


class _Block(nn.Module):
    """Two branches (3 and 5 wide) of a spatial and a temporal convolution, added and mixed."""

    def __init__(
        self, c_in: int, c_out: int, convolution: type, norm: type, space: str, stride: tuple | int = 1
    ) -> None:
        super().__init__()
        self.space = space
        for k in (3, 5):
            flat, long = _kernels(convolution, k)
            setattr(self, f"{space}_{k}", convolution(c_in, c_out, flat, stride, _half(flat), bias=False))
            setattr(self, f"bn_{space}_{k}", norm(c_out, eps=_EPS))
            setattr(self, f"t_{k}", convolution(c_out, c_out, long, 1, _half(long), bias=False))
            setattr(self, f"bn_t_{k}", norm(c_out, eps=_EPS))
        self.last = convolution(c_out, c_out, 1, bias=False)
        self.bn_last = norm(c_out, eps=_EPS)

    def forward(self, x: Tensor) -> Tensor:
        total = 0
        for k in (3, 5):
            y = x
            for part in (self.space, "t"):
                y = getattr(self, f"bn_{part}_{k}")(getattr(self, f"{part}_{k}")(y)).relu()
            total = total + y
        return self.bn_last(self.last(total)).relu()


class _Detector(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru_forward = nn.GRU(128, 128, batch_first=True)
        self.gru_backward = nn.GRU(128, 128, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        gelu = nn.functional.gelu
        x = gelu(self.gru_forward(x)[0])
        return gelu(self.gru_backward(x.flip(1))[0].flip(1))


class LightASD(nn.Module):
    """The network, with the names of the published file."""

    # A frame's visual features see this many frames to each side.
    context = 6

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.ModuleDict(
            {"visualEncoder": VisualEncoder(_Block), "audioEncoder": AudioEncoder(_Block), "GRU": _Detector()}
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
        return self.lossAV["FC"](self.model["GRU"](self.hear(mfcc) + seen))


def _kernels(convolution: type, k: int) -> tuple[tuple, tuple]:
    return ((1, k, k), (k, 1, 1)) if convolution is nn.Conv3d else ((k, 1), (1, k))


def _half(kernel: tuple) -> tuple:
    return tuple(k // 2 for k in kernel)
