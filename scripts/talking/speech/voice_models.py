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


def packaged_segmentation() -> PyanNet:
    """Return the speaker segmentation network of whisperx."""
    return read_model(Path(importlib.util.find_spec("whisperx").origin).parent / "assets" / "pytorch_model.bin")


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
