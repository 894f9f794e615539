"""High dynamic range and wide colours brought to ordinary ones: BT.709 with the gamma of BT.1886, as every later stage expects.

The light of a picture (SMPTE ST 2084 for PQ; ITU-R BT.2100 for HLG on a display of 1,000 cd/m², with its system gamma; the
gamma of BT.1886 for wide colours alone) is divided by that of white, highlights above half of white are compressed so that the
brightest there is becomes white, and its primaries are changed to BT.709's. White is 203 cd/m² (ITU-R BT.2408), or 100
where nothing is brighter, as in videos that were made of ordinary ones. All this is one table of colours (3D LUT),
through which ffmpeg's lut3d sends the pictures.
"""

from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np

PQ, HLG, WIDE = "pq", "hlg", "bt2020"
# Numbers of ITU-T H.273.
_TRANSFERS = {16: PQ, 18: HLG}
_BT2020_PRIMARIES, _BT2020_MATRICES = 9, (9, 10)
_WHITE, _OLD_WHITE = 203.0, 100.0
_TOLERANCE = 1.05
_HLG_DISPLAY, _PQ_DISPLAY = 1000.0, 10_000.0
# Of a picture's brightest points some are sparks or noise.
_PEAK_PERCENTILE = 99.95
_KNEE = 0.5
_LUMINANCE = np.array([0.2627, 0.6780, 0.0593])
# BT.2020's primaries to BT.709's (ITU-R BT.2407).
_TO_BT709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])
_SIZES = {PQ: 65, HLG: 33, WIDE: 33}
_GAMMA = 2.4


def kind_of(stream: av.VideoStream, frame: av.VideoFrame) -> str:
    """Return how a video's colours differ from ordinary ones: "pq", "hlg", "bt2020" (wide colours alone), or ""."""
    context = stream.codec_context
    transfer = frame.color_trc if frame.color_trc in _TRANSFERS else context.color_trc
    if transfer in _TRANSFERS:
        return _TRANSFERS[transfer]
    is_wide = context.color_primaries == _BT2020_PRIMARIES and context.colorspace in _BT2020_MATRICES
    return WIDE if is_wide else ""


def peak(kind: str, frames: Iterable[av.VideoFrame]) -> float:
    """Return the light, in cd/m², of the brightest that some pictures show."""
    brightest = [0.0]
    for frame in frames:
        small = frame.reformat(width=160, height=90, format="rgb48le", src_colorspace="ITU709", interpolation="AREA")
        brightest.append(float(np.percentile(_light(kind, small.to_ndarray() / 65535).max(axis=-1), _PEAK_PERCENTILE)))
    return max(brightest)


def write_table(kind: str, brightest: float, path: Path) -> None:
    """Write the table from a kind of colours to ordinary ones as a cube file; `brightest` is what `peak` says."""
    size = _SIZES[kind]
    steps = np.linspace(0, 1, size)
    # Red changes first.
    blue, green, red = np.meshgrid(steps, steps, steps, indexing="ij")
    light = _light(kind, np.stack([red, green, blue], axis=-1).reshape(-1, 3))
    with path.open("w") as out:
        out.write(f"LUT_3D_SIZE {size}\n")
        np.savetxt(
            out, to_ordinary(light, brightest if kind != WIDE else 1.0, 1.0 if kind == WIDE else None), fmt="%.5f"
        )


def to_ordinary(light: np.ndarray, brightest: float, white: float | None = None) -> np.ndarray:
    """Return BT.709 values (n, 3) in 0..1 of the light (n, 3) of BT.2020 primaries, in cd/m² unless `white` is given."""
    if white is None:
        white = _OLD_WHITE if brightest <= _TOLERANCE * _OLD_WHITE else _WHITE
    relative, most = light / white, brightest / white
    largest = np.maximum(relative.max(axis=-1, keepdims=True), 1e-9)
    compressed = largest
    if most > 1:
        slope = (most - _KNEE) / (1 - _KNEE)
        above = np.clip((largest - _KNEE) / (most - _KNEE), 0, 1)
        rolled = _KNEE + (1 - _KNEE) * slope * above / (1 + (slope - 1) * above)
        compressed = np.where(largest > _KNEE, rolled, largest)
    ordinary = (relative * compressed / largest) @ _TO_BT709.T
    return np.clip(ordinary, 0, 1) ** (1 / _GAMMA)


def _light(kind: str, values: np.ndarray) -> np.ndarray:
    """Return the light of values (..., 3) in 0..1: in cd/m², of wide colours alone relative to white."""
    if kind == PQ:
        power = np.clip(values, 0, 1) ** (32 / 2523)
        base = np.maximum(power - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * power)
        return _PQ_DISPLAY * base ** (16384 / 2610)
    if kind == HLG:
        bright = (np.exp((values - 0.55991073) / 0.17883277) + 0.28466892) / 12
        scene = np.where(values <= 0.5, values**2 / 3, bright)
        return _HLG_DISPLAY * scene * np.maximum(scene @ _LUMINANCE, 1e-9)[..., None] ** 0.2
    return values**_GAMMA
