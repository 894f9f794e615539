"""TalkNet (Tao et al., Is Someone Speaking?, ACM Multimedia 2021): 16 M values, 16 kHz and 25 fps."""

import torch
from torch import Tensor, nn

_EPS = 1e-3
_HEADS = 8


class _ResNetStage(nn.Module):
    """One stage of the visual ResNet-18: two blocks that share a normalised sum."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.conv1a = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)
        self.conv2a = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False)
        # Stored for the first stage too, where it is not used.
        self.downsample = nn.Conv2d(c_in, c_out, 1, stride, bias=False)
        self.conv1b = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False)
        self.conv2b = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False)
        for name in ("bn1a", "bn1b", "outbna", "outbnb"):
            setattr(self, name, nn.BatchNorm2d(c_out, eps=_EPS))
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2a(self.bn1a(self.conv1a(x)).relu())
        middle = y + (x if self.stride == 1 else self.downsample(x))
        y = self.conv2b(self.bn1b(self.conv1b(self.outbna(middle).relu())).relu())
        return self.outbnb(y + middle).relu()


class _VisualFrontend(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.frontend3D = nn.Sequential(
            nn.Conv3d(1, 64, (5, 7, 7), (1, 2, 2), (2, 3, 3), bias=False),
            nn.BatchNorm3d(64, eps=_EPS),
            nn.ReLU(),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
        )
        stages = ((64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2))
        self.resnet = nn.ModuleDict({f"layer{i}": _ResNetStage(*of) for i, of in enumerate(stages, start=1)})

    def forward(self, x: Tensor) -> Tensor:
        frames = self.frontend3D(x).transpose(1, 2)
        y = frames.flatten(0, 1)
        for stage in self.resnet.values():
            y = stage(y)
        return y.mean(dim=(2, 3)).unflatten(0, frames.shape[:2])


class _GlobalLayerNorm(nn.Module):
    """Normalise over channels and time (Luo and Mesgarani, Conv-TasNet, 2019)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(1, channels, 1))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x, dim=(1, 2), keepdim=True, correction=0)
        return self.gamma * (x - mean) / (variance + 1e-8).sqrt() + self.beta


class _TemporalUnit(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.ReLU(),
            nn.BatchNorm1d(channels),
            nn.Conv1d(channels, channels, 3, 1, 1, groups=channels, bias=False),
            nn.PReLU(),
            _GlobalLayerNorm(channels),
            nn.Conv1d(channels, channels, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.net(x)


class _SqueezeBlock(nn.Module):
    """Residual block with squeeze and excitation (Hu et al., 2018), reduction 8."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(c_out)
        squeeze = nn.Sequential(nn.Linear(c_out, c_out // 8), nn.ReLU(), nn.Linear(c_out // 8, c_out), nn.Sigmoid())
        self.se = nn.ModuleDict({"fc": squeeze})
        self.downsample = None
        if stride != 1 or c_in != c_out:
            self.downsample = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.bn1(self.conv1(x).relu())))
        y = y * self.se["fc"](y.mean(dim=(2, 3)))[:, :, None, None]
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


class _AudioEncoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 7, (2, 1), 3, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        c_in = 16
        for i, (c_out, count, stride) in enumerate(((16, 3, 1), (32, 4, 2), (64, 6, 2), (128, 3, 1)), start=1):
            blocks = [_SqueezeBlock(c_in if k == 0 else c_out, c_out, stride if k == 0 else 1) for k in range(count)]
            setattr(self, f"layer{i}", nn.Sequential(*blocks))
            c_in = c_out

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv1(x)).relu()
        return self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean(dim=2).transpose(1, 2)


class _Attention(nn.Module):
    """A post-norm transformer layer whose queries come from the target and whose residual is the source."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(width, _HEADS, batch_first=True)
        self.linear1, self.linear2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        x = self.norm1(source + self.self_attn(target, source, source, need_weights=False)[0])
        return self.norm2(x + self.linear2(self.linear1(x).relu()))


class TalkNet(nn.Module):
    """The network, with the names of the published file."""

    # The first convolution sees two frames to each side; what sees more is done window by window.
    context = 2

    def __init__(self) -> None:
        super().__init__()
        conv1d = (nn.Conv1d(512, 256, 5, 1, 2), nn.BatchNorm1d(256), nn.ReLU(), nn.Conv1d(256, 128, 1))
        self.model = nn.ModuleDict(
            {
                "visualFrontend": _VisualFrontend(),
                "visualTCN": nn.ModuleDict({"net": nn.Sequential(*(_TemporalUnit(512) for _ in range(5)))}),
                "visualConv1D": nn.ModuleDict({"net": nn.Sequential(*conv1d)}),
                "audioEncoder": _AudioEncoder(),
                "crossA2V": _Attention(128),
                "crossV2A": _Attention(128),
                "selfAV": _Attention(256),
            }
        )
        self.lossAV = nn.ModuleDict({"FC": nn.Linear(256, 2)})

    def see(self, faces: Tensor) -> Tensor:
        """Return features (b, t, 512) of grey crops (b, t, 112, 112), 0-255."""
        return self.model["visualFrontend"](((faces.float() / 255 - 0.4161) / 0.1688)[:, None])

    def watch(self, seen: Tensor) -> Tensor:
        """Return visual features (b, t, 128) of windows of what `see` gave."""
        return self.model["visualConv1D"]["net"](self.model["visualTCN"]["net"](seen.transpose(1, 2))).transpose(1, 2)

    def hear(self, mfcc: Tensor) -> Tensor:
        """Return audio features (b, t, 128) of MFCCs (b, 4 t, 13)."""
        return self.model["audioEncoder"](mfcc.transpose(1, 2)[:, None])

    def judge(self, seen: Tensor, mfcc: Tensor) -> Tensor:
        """Return logits (b, t, 2) of features (b, t, 512) and MFCCs (b, 4 t, 13); the score is the second."""
        visual, audio = self.watch(seen), self.hear(mfcc)
        both = torch.cat([self.model["crossA2V"](audio, visual), self.model["crossV2A"](visual, audio)], dim=2)
        return self.lossAV["FC"](self.model["selfAV"](both, both))
