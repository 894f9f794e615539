"""Time each stage's models on a video that was run before, in frames of the video a second, loading included.

    python tests/benchmarks/bench_models.py --results RESULTS --video VIDEO [--weights FOLDER] [--threads 2] [--only poses sound]

A model whose weights FOLDER (or results/weights) does not hold is built at its published widths with random values, which takes as
long, or left out where its file carries the network itself. On a GPU it runs there. docs/benchmarks.md keeps what was found.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "scripts"))
os.environ.setdefault("GLOG_minloglevel", "2")

import numpy as np  # noqa: E402
import torch  # noqa: E402

from talking import poses, speaking  # noqa: E402
from talking.clips import inspection  # noqa: E402
from talking.core import arrays, tables  # noqa: E402
from talking.faces import detect, embedding, landmarks  # noqa: E402
from talking.sound import embeddings, separation, voice  # noqa: E402
from talking.speech import diarization, words  # noqa: E402
from talking.video import media  # noqa: E402

# A network this large is timed on so many frames of the first clip: on processors, and on a GPU.
_FEW_FRAMES, _FRAMES_ON_GPU = 1, 500
# Widths of Sapiens 2: layers, hidden size, heads and feed-forward size.
_SAPIENS2 = {"0.4B": (24, 1024, 16, 4096), "1B": (40, 1536, 24, 6144)}


class Bench:
    """The models of each stage as functions that work on one video and return how many of its frames they worked on."""

    def __init__(self, results: Path, video: str, weights: Path, scratch: Path, threads: int) -> None:
        self.media, self.wav = results / f"media/{video}.mp4", results / f"media/{video}.wav"
        self.tracks = tables.read("tracks", results / f"tracks/{video}.parquet")
        self.candidates = tables.read("candidates", results / f"candidates/{video}.parquet")
        self.voice = tables.read("voice", results / f"voice/{video}.parquet")
        self.marks = dict(arrays.opened(results / f"landmarks/{video}.npz"))
        self.poses_file = results / f"poses/{video}.npz"
        self.frames = media.size_and_length(self.media)[2]
        self.weights, self.scratch, self.threads = weights, scratch, threads

    def models(self) -> Iterator[tuple[str, str, Callable[[], int]]]:
        """Yield stage, model and function of every model that can be timed here."""
        for model, file in (
            ("centerface", ""),
            ("yunet", "yunet_n_dynamic.onnx"),
            ("scrfd", "insightface/det_10g.onnx"),
        ):
            if not file or self._has(file):
                settings = detect.Settings(model=model, weights=str(self.weights / file))
                yield "faces", model, lambda s=settings: detect.detect(self.media, s) is not None and self.frames
        yield "landmarks", "mediapipe", self._landmarks
        for model, file in (("dlib", ""), ("arcface", "insightface/w600k_r50.onnx")):
            if not file or self._has(file):
                settings = embedding.Settings(model=model, weights=str(self.weights / file))
                yield "embeddings", model, lambda s=settings: self._embeddings(s)
        yield "voice", "silero", lambda: len(voice.detect(self.wav))
        for model in speaking.MODELS:
            yield "speaking", model, lambda m=model: self._speaking(m)
        yield "diarization", "embedded", lambda: diarization.diarize(self.wav, 2) is not None and self.frames
        for model in ("whisper_base", "tiny_en"):
            yield "words", model, lambda model=model: self._transcribe(words.Settings(model=model))
        yield "poses", "mediapipe", lambda: self._poses(poses.Settings(), self.candidates)
        for size in _SAPIENS2:
            yield "poses", f"sapiens2 ({size})", lambda size=size: self._sapiens2(size)
        for model, make in (("whisper_tiny_en", embeddings.Settings), ("wav2vec2", self._wav2vec2)):
            yield "sound", model, lambda make=make: self._embed(make())
        yield "sound", "hdemucs before it", self._separate
        yield "inspections", "rapidocr and fingerprints", self._inspect

    def _transcribe(self, settings: words.Settings) -> int:
        words.transcribe(self.wav, self.voice, settings)
        return self.frames

    def _has(self, name: str) -> bool:
        return (self.weights / name).is_file()

    def _landmarks(self) -> int:
        landmarks.mark(self.media, self.tracks, landmarks.Settings())
        return self.frames

    def _embeddings(self, settings: embedding.Settings) -> int:
        embedding.embed(self.tracks, self.marks, settings)
        return self.frames

    def _speaking(self, model: str) -> int:
        from talking.speaking.light_asd import LightASD
        from talking.speaking.lr_asd import LRASD
        from talking.speaking.talknet import TalkNet

        published = {
            "light_asd": "light_asd_talkset.model",
            "lr_asd": "lr_asd_talkset.model",
            "talknet": "pretrain_TalkSet.model",
        }
        file = self.weights / published.get(model, "")
        if model != "lip_sync" and not file.is_file():
            file = self.scratch / f"{model}.pt"
            torch.save({"light_asd": LightASD, "lr_asd": LRASD, "talknet": TalkNet}[model]().state_dict(), file)
        inputs = speaking.Inputs(self.media, self.wav, self.tracks, self.marks, self.voice)
        speaking.score(inputs, speaking.Settings(model=model, weights=str(file)))
        return self.frames

    def _poses(self, settings: poses.Settings, clips) -> int:
        for _ in poses.estimate(self.media, clips, self.tracks, self.marks, settings, self.threads):
            pass
        wanted = clips[clips["candidate"]]
        return int((wanted["end_frame"] - wanted["start_frame"]).sum())

    def _sapiens2(self, size: str) -> int:
        folder = self.weights / f"sapiens2-pose-{size.lower()}"
        if not (folder / "model.safetensors").is_file():
            from transformers import Sapiens2Config, Sapiens2ForPoseEstimation

            folder = self.scratch / f"sapiens2-{size}"
            layers, width, heads, inner = _SAPIENS2[size]
            head = {"upsample_out_channels": [768, 768], "conv_out_channels": [768, 768], "conv_kernel_size": 1}
            config = Sapiens2Config(
                num_hidden_layers=layers,
                hidden_size=width,
                num_attention_heads=heads,
                intermediate_size=inner,
                image_size=[1024, 768],
                num_labels=308,
                head_config=head,
            )
            Sapiens2ForPoseEstimation(config).save_pretrained(folder)
        first = self.candidates[self.candidates["candidate"]].head(1)
        frames = _FRAMES_ON_GPU if torch.cuda.is_available() else _FEW_FRAMES
        few = first.assign(end_frame=np.minimum(first["start_frame"] + frames, first["end_frame"]))
        # Processors have little memory for the crops of so large a network.
        few_crops = {} if torch.cuda.is_available() else {"sapiens_batch": 4}
        return self._poses(poses.Settings(model="sapiens2", sapiens_weights=str(folder), **few_crops), few)

    def _wav2vec2(self) -> embeddings.Settings:
        folder = self.weights / "wav2vec2-base-960h"
        if not (folder / "model.safetensors").is_file():
            from transformers import Wav2Vec2Config, Wav2Vec2Model

            folder = self.scratch / "wav2vec2"
            Wav2Vec2Model(Wav2Vec2Config()).save_pretrained(folder)
        return embeddings.Settings(model="wav2vec2", weights=str(folder))

    def _embed(self, settings: embeddings.Settings) -> int:
        return sum(len(rows) for _, rows in embeddings.embed(self.wav, self.candidates, settings))

    def _separate(self) -> int:
        file = self.weights / "hdemucs_high_trained.pt"
        if not file.is_file():
            from torchaudio.models import hdemucs_high

            file = self.scratch / "hdemucs.pt"
            torch.save(hdemucs_high(["drums", "bass", "other", "vocals"]).state_dict(), file)
        samples = media.sound(self.wav, 0, 20 * media.FPS)
        separation.hdemucs(file)(samples)
        return samples.size // media.SAMPLES_PER_FRAME

    def _inspect(self) -> int:
        inspection.inspect(self.media, self.wav, self.candidates, self.tracks, self.poses_file)
        wanted = self.candidates[self.candidates["candidate"]]
        return int((wanted["end_frame"] - wanted["start_frame"]).sum())


def main() -> None:
    """Read the arguments, time the models, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--video", required=True)
    parser.add_argument("--weights", type=Path, help="folder of weights (default: RESULTS/weights)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="*", help="stages to time")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{arguments.threads} threads"
    print(f"| stage | model | frames a second ({device}) |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        weights = arguments.weights or arguments.results / "weights"
        bench = Bench(arguments.results, arguments.video, weights, Path(scratch), arguments.threads)
        for stage, model, work in bench.models():
            if arguments.only and stage not in arguments.only:
                continue
            began = time.perf_counter()
            frames = work()
            print(f"| {stage} | `{model}` | {frames / (time.perf_counter() - began):.3g} |", flush=True)


if __name__ == "__main__":
    main()
