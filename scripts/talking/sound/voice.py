"""Voice activity: in which frames anybody speaks, and how loud the sound is.

The model is silero-vad (Silero Team, 2021), with the weights of its package.
"""

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from talking.core import cli, intervals
from talking.core.intervals import Interval
from talking.video import media

# silero-vad takes 512 samples at a time, with the 64 before them as context.
WINDOW = 512
_CONTEXT = 64
# A block is a whole number of windows and of frames, so that blocks follow each other without a seam.
_BLOCK_FRAMES = 60 * media.FPS
SILENCE_DB = -100.0


@dataclass
class Settings:
    """Settings of voice activity detection."""

    model: str = cli.setting(
        "silero_segmentation",
        "voice activity model: silero alone, or with a speaker segmentation network where silero is unsure, as under music",
        choices=["silero", "silero_segmentation"],
    )


def detect(sound: str | Path) -> pd.DataFrame:
    """Return the table `voice`, a row for every frame that a `media/` wav begins, by silero-vad alone.

    A voice probability is the mean of the model's probabilities over the frame's 40 ms. No sound gives no rows.
    """
    judge = silero()
    window_probability, loudness, samples = [], [], 0
    for block in _blocks(sound):
        samples += block.size
        window_probability.append(judge(block))
        loudness.append(_loudness_db(block))
    frames = -(-samples // media.SAMPLES_PER_FRAME)
    probability = np.concatenate([*window_probability, np.zeros(0)])
    return pd.DataFrame(
        {
            "frame": np.arange(frames),
            "voice": _mean_over_frames(probability, frames),
            "loudness_db": np.concatenate([*loudness, np.zeros(0)]),
        }
    )


def segments(voice: pd.DataFrame, threshold: float, pause_s: float, pad_s: float) -> list[Interval]:
    """Return the frames of speech: where the table `voice` reaches `threshold`, pauses up to `pause_s` closed, widened by `pad_s`."""
    length, pad, pause = len(voice), round(pad_s * media.FPS), round(pause_s * media.FPS)
    speech = intervals.from_mask(voice["voice"].to_numpy() >= threshold)
    between = [gap for gap in intervals.subtract([(0, length)], speech) if gap[0] > 0 and gap[1] < length]
    closed = intervals.union([*speech, *(gap for gap in between if gap[1] - gap[0] <= pause)])
    return intervals.union((max(start - pad, 0), min(end + pad, length)) for start, end in closed)


def silero() -> Callable[[np.ndarray], np.ndarray]:
    """Return silero-vad as a function from successive samples (n,) to the probabilities (ceil(n / 512),) of their windows.

    It keeps its state, so blocks of one sound must be given in order.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    # Only the weights are taken: importing the package would load torch and set its threads.
    package = Path(importlib.util.find_spec("silero_vad").origin).parent
    session = onnxruntime.InferenceSession(package / "data" / "silero_vad.onnx", options, ["CPUExecutionProvider"])
    state = np.zeros((2, 1, 128), dtype=np.float32)
    context = np.zeros(_CONTEXT, dtype=np.float32)
    rate = np.array(media.SOUND_HZ, dtype=np.int64)

    def judge(samples: np.ndarray) -> np.ndarray:
        nonlocal state, context
        windows = np.pad(samples, (0, -samples.size % WINDOW)).reshape(-1, WINDOW)
        out = np.zeros(len(windows))
        for i, window in enumerate(windows):
            heard = np.concatenate([context, window])
            answer, state = session.run(None, {"input": heard[None], "state": state, "sr": rate})
            out[i], context = answer[0, 0], window[-_CONTEXT:]
        return out

    return judge


def _blocks(sound: str | Path) -> Iterator[np.ndarray]:
    start = 0
    with tqdm(unit=" s", desc="voice") as progress:
        while (block := media.sound(sound, start, start + _BLOCK_FRAMES)).size:
            yield block
            start += _BLOCK_FRAMES
            progress.update(block.size // media.SOUND_HZ)
            if block.size < _BLOCK_FRAMES * media.SAMPLES_PER_FRAME:
                return


def _mean_over_frames(windows: np.ndarray, frames: int) -> np.ndarray:
    """Return the means (frames,) over 640 samples each of values that hold for 512 samples each."""
    if frames == 0:
        return np.zeros(0)
    sums = np.concatenate([[0], np.cumsum(windows) * WINDOW])
    edges = np.minimum(np.arange(frames + 1) * media.SAMPLES_PER_FRAME, windows.size * WINDOW)
    at_edges = np.interp(edges, np.arange(windows.size + 1) * WINDOW, sums)
    return np.clip(np.diff(at_edges) / np.diff(edges), 0, 1)


def _loudness_db(block: np.ndarray) -> np.ndarray:
    whole = np.pad(block.astype(np.float64), (0, -block.size % media.SAMPLES_PER_FRAME))
    level = np.sqrt(np.mean(whole.reshape(-1, media.SAMPLES_PER_FRAME) ** 2, axis=1))
    return 20 * np.log10(np.maximum(level, 10 ** (SILENCE_DB / 20)))
