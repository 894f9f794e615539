"""What Light-ASD and LR-ASD have in common: three blocks of features of a face, three of the sound. The blocks differ."""

from torch import Tensor, nn


class VisualEncoder(nn.Module):
    """Features (b, t, 128) of normalised crops (b, 1, t, 112, 112), by three blocks."""

    def __init__(self, block: type[nn.Module]) -> None:
        super().__init__()
        of = {"convolution": nn.Conv3d, "norm": nn.BatchNorm3d, "space": "s"}
        self.block1 = block(1, 32, stride=(1, 2, 2), **of)
        self.block2 = block(32, 64, **of)
        self.block3 = block(64, 128, **of)
        self.pool = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.block3(self.pool(self.block2(self.pool(self.block1(x)))))
        return x.amax(dim=(3, 4)).transpose(1, 2)


class AudioEncoder(nn.Module):
    """Features (b, t, 128) of MFCCs (b, 1, 13, 4 t), by three blocks."""

    def __init__(self, block: type[nn.Module]) -> None:
        super().__init__()
        of = {"convolution": nn.Conv2d, "norm": nn.BatchNorm2d, "space": "m"}
        self.block1 = block(1, 32, **of)
        self.block2 = block(32, 64, **of)
        self.block3 = block(64, 128, **of)
        self.pool = nn.MaxPool2d((1, 3), (1, 2), (0, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.block3(self.pool(self.block2(self.pool(self.block1(x)))))
        return x.mean(dim=2).transpose(1, 2)
