"""Voice networks and pyannote.audio's pipelines over them: those inside packages, and published ones in a folder."""

from talking.core import offline  # noqa: F401, I001 - read by the libraries below when they are imported
import collections
import importlib.util
import inspect
import pickle
import typing
from collections.abc import Callable
from pathlib import Path

import numpy as np
import omegaconf
import omegaconf.base
import omegaconf.listconfig
import omegaconf.nodes
import torch
import torchaudio
import yaml
from pyannote.audio import Inference, Model
from pyannote.audio.core import model as pyannote_model
from pyannote.audio.core import task
from pyannote.audio.core.plda import PLDA
from pyannote.audio.models.embedding import WeSpeakerResNet34
from pyannote.audio.models.segmentation.PyanNet import PyanNet
from pyannote.audio.pipelines.speaker_diarization import SpeakerDiarization

from talking.video import media
from talking.core.errors import InputError

# Windows given to a network at once: more is no faster on a processor and takes some 20 MB each.
BATCH = 8
# A tree of n voices takes n² distances: of a longer sound this many, evenly spread, make the clusters, the rest joins them.
MOST_IN_TREE = 4000
_ARCHITECTURES = {"PyanNet": PyanNet, "WeSpeakerResNet34": WeSpeakerResNet34}


class ResemblyzerEmbedding(Model):
    """Resemblyzer's speaker encoder as a pyannote.audio model, so that its pipeline takes it as any other.

    Mel features, the recurrent network and the mean over partial utterances of 1.6 s follow Resemblyzer's
    documented settings; the frames where the speaker is not active are left out of the features.
    """

    PARTIAL_FRAMES, PARTIAL_STEP = 160, 77
    HOP = 160
    MIN_FRAMES = 40
    TARGET_DB = -30.0

    def __init__(self) -> None:
        super().__init__(sample_rate=media.SOUND_HZ, num_channels=1)
        self.lstm = torch.nn.LSTM(40, 256, 3, batch_first=True)
        self.linear = torch.nn.Linear(256, 256)
        nyquist, scale = media.SOUND_HZ / 2, {"norm": "slaney", "mel_scale": "slaney"}
        mels = torchaudio.functional.melscale_fbanks(201, 0.0, nyquist, 40, media.SOUND_HZ, **scale).T
        self.register_buffer("mels", mels, persistent=False)
        self.register_buffer("window", torch.hann_window(400), persistent=False)
        self.specifications = task.Specifications(
            problem=task.Problem.REPRESENTATION, resolution=task.Resolution.CHUNK, duration=5.0
        )

    @property
    def dimension(self) -> int:
        """The length of an embedding."""
        return 256

    @classmethod
    def packaged(cls) -> "ResemblyzerEmbedding":
        """Return the encoder with the package's weights."""
        path = _package("resemblyzer") / "pretrained.pt"
        weights = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
        model = cls()
        model.load_state_dict({k: v for k, v in weights.items() if k.startswith(("lstm.", "linear."))})
        return model.eval()

    def forward(self, waveforms: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
        """Return embeddings (batch, 256) of unit length of waveforms (batch, 1, samples) under weights (batch, frames).

        A row is NaN where fewer than 0.4 s are left.
        """
        sound = waveforms[:, 0]
        frames = 1 + sound.shape[1] // self.HOP
        active = torch.ones(len(sound), frames, dtype=torch.bool, device=sound.device)
        if weights is not None:
            active = torch.nn.functional.interpolate(weights[:, None].float(), size=frames, mode="nearest")[:, 0] > 0.5
        out = torch.full((len(sound), self.dimension), torch.nan, device=sound.device)
        # Most of the speakers that the pipeline asks for are silent.
        heard_long_enough = (active.sum(dim=1) >= self.MIN_FRAMES).nonzero()[:, 0]
        if not len(heard_long_enough):
            return out
        window = {"window": self.window, "pad_mode": "constant", "return_complex": True}
        spectrum = torch.stft(sound[heard_long_enough], 400, self.HOP, **window).abs() ** 2
        partials, owner = [], []
        for i, mel in zip(heard_long_enough.tolist(), (self.mels @ spectrum).transpose(1, 2), strict=True):
            heard = mel[active[i]]
            level = _level_db(sound[i], active[i])
            if level < self.TARGET_DB:
                heard = heard * 10 ** ((self.TARGET_DB - level) / 10)
            for start in range(0, max(1, len(heard) - self.PARTIAL_FRAMES + self.PARTIAL_STEP), self.PARTIAL_STEP):
                part = heard[start : start + self.PARTIAL_FRAMES]
                if start > 0 and len(part) < 0.75 * self.PARTIAL_FRAMES:
                    break
                partials.append(torch.nn.functional.pad(part, (0, 0, 0, self.PARTIAL_FRAMES - len(part))))
                owner.append(i)
        _, (hidden, _) = self.lstm(torch.stack(partials))
        embedded = torch.nn.functional.normalize(torch.relu(self.linear(hidden[-1])), dim=1)
        owners = torch.tensor(owner, device=sound.device)
        for i in owners.unique():
            out[i] = torch.nn.functional.normalize(embedded[owners == i].mean(dim=0), dim=0)
        return out


def packaged_segmentation() -> PyanNet:
    """Return the speaker segmentation network of whisperx."""
    return read_model(_package("whisperx") / "assets" / "pytorch_model.bin")


def speech_probability() -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from samples (n,) to the probability (frames,) that anybody speaks, by the packaged segmentation."""
    network = packaged_segmentation()
    torch.set_num_threads(1)
    heard = Inference(
        network, step=0.5 * network.specifications.duration, pre_aggregation_hook=_anybody, batch_size=BATCH
    )

    def probability(samples: np.ndarray) -> np.ndarray:
        found = heard({"waveform": torch.from_numpy(samples)[None], "sample_rate": media.SOUND_HZ})
        middle = (np.arange(len(found.data)) + 0.5) * found.sliding_window.step
        frames = -(-len(samples) // media.SAMPLES_PER_FRAME)
        return np.interp((np.arange(frames) + 0.5) / media.FPS, middle, np.nan_to_num(found.data[:, 0]))

    return probability


def _anybody(scores: np.ndarray) -> np.ndarray:
    return scores.max(axis=2, keepdims=True)


def read_model(path: Path) -> Model:
    """Return a network from a checkpoint of pyannote.audio, ready to be called; raises InputError if it is none.

    Such a file is a pickle: only tensors and these plain classes are loaded from it.
    """
    known = [
        *(dict, list, int, collections.defaultdict, typing.Any, torch.torch_version.TorchVersion),
        *(omegaconf.base.Metadata, omegaconf.base.ContainerMetadata, omegaconf.listconfig.ListConfig),
        *(omegaconf.nodes.AnyNode, task.Problem, task.Specifications, task.Resolution, pyannote_model.Introspection),
    ]
    try:
        with torch.serialization.safe_globals(known):
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        about, settings = checkpoint["pyannote.audio"], checkpoint["hyper_parameters"]
        architecture = _ARCHITECTURES[about["architecture"]["class"]]
        taken = set(inspect.signature(architecture).parameters) - {"task"}
        model = architecture(**{key: value for key, value in settings.items() if key in taken})
        model.specifications = about["specifications"]
        model.setup()
        missing, _ = model.load_state_dict(checkpoint["state_dict"], strict=False)
        if missing:
            raise KeyError(missing[0])
    except (OSError, EOFError, KeyError, TypeError, RuntimeError, pickle.UnpicklingError) as error:
        raise InputError(
            f"{path} holds no voice network of pyannote.audio ({type(error).__name__}: {str(error)[:80]}); download it again."
        ) from error
    return model.eval()


def published_pipeline(folder: Path, device: torch.device) -> SpeakerDiarization:
    """Return one of pyannote.audio's published diarization pipelines, which lies in a folder.

    Its config.yaml names its networks by `$model/PART` or by their place on the hub, `OWNER/PART`: both are looked for
    in the folder `PART` beside it. Raises InputError if the folder holds no such pipeline.
    """
    try:
        config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        params = dict(config["pipeline"]["params"])
        parts = {
            name: folder / Path(params.pop(name)).name
            for name in ("segmentation", "embedding", "plda")
            if name in params
        }
        calibration = PLDA.from_pretrained(parts["plda"]) if "plda" in parts else NoCalibration()
        if device.type == "cpu":
            params |= {f"{network}_batch_size": BATCH for network in ("segmentation", "embedding")}
        networks = {name: read_model(parts[name] / "pytorch_model.bin") for name in ("segmentation", "embedding")}
        pipeline = SpeakerDiarization(**params, **networks, plda=calibration).instantiate(config["params"])
    except (OSError, KeyError, TypeError, ValueError, yaml.YAMLError) as error:
        raise InputError(
            f"{folder} holds no diarization pipeline of pyannote.audio ({type(error).__name__}: {str(error)[:80]}); set "
            "diarization: weights to a folder with its config.yaml and networks, such as results/weights/pyannote-community-1, "
            "which is downloaded."
        ) from error
    pipeline.clustering.filter_embeddings = _evenly(pipeline.clustering.filter_embeddings)
    return pipeline.to(device)


def _evenly(filter_embeddings: Callable[..., tuple[np.ndarray, ...]]) -> Callable[..., tuple[np.ndarray, ...]]:
    """Return the filter that chooses what is clustered, with at most `MOST_IN_TREE` of its choices, evenly spread."""

    def chosen(*args: object, **kwargs: object) -> tuple[np.ndarray, ...]:
        found = filter_embeddings(*args, **kwargs)
        return tuple(part[evenly_spread(len(part))] for part in found)

    return chosen


def evenly_spread(count: int) -> np.ndarray:
    """Return which of `count` successive things, at most `MOST_IN_TREE`, stand for all."""
    return np.unique(np.linspace(0, count - 1, min(count, MOST_IN_TREE)).astype(int))


class NoCalibration(PLDA):
    """The pipeline needs a calibration even where its clustering never uses one."""

    def __init__(self) -> None:
        pass


def _level_db(sound: torch.Tensor, active: torch.Tensor) -> float:
    mask = torch.nn.functional.interpolate(active[None, None].float(), size=len(sound), mode="nearest")[0, 0] > 0.5
    return float(20 * torch.log10(sound[mask].square().mean().sqrt().clamp_min(1e-8)))


def _package(name: str) -> Path:
    """Return a package's folder without importing it."""
    return Path(importlib.util.find_spec(name).origin).parent
