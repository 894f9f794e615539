"""Who is heard when: pyannote.audio's diarization pipeline, told how many people are seen talking.

The embedded models are those that packages carry: the segmentation network of whisperx (pyannote's PyanNet, three
speakers, 5 s windows; Bredin and Laurent, Interspeech 2021) and the voice embedding of Resemblyzer (a GE2E speaker
encoder; Wan et al., ICASSP 2018).
"""

# ruff: noqa: E402 - what pyannote.audio and the hub read from the environment is set before they are imported
import collections
import importlib.util
import os
import typing
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

# Nothing is fetched while a job runs: the models lie in installed packages or in a folder.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("PYANNOTE_METRICS_ENABLED", "0")
# Sound is given as samples, so pyannote.audio's own decoder is not missed.
warnings.filterwarnings("ignore", message=r"\s*torchcodec is not installed correctly")

import librosa
import omegaconf
import omegaconf.base
import omegaconf.listconfig
import omegaconf.nodes
import torch
from pyannote.audio import Model
from pyannote.audio.core import model as pyannote_model
from pyannote.audio.core import task
from pyannote.audio.core.plda import PLDA
from pyannote.audio.models.segmentation.PyanNet import PyanNet
from pyannote.audio.pipelines.clustering import BaseClustering
from pyannote.audio.pipelines.speaker_diarization import SpeakerDiarization
from pyannote.core import Annotation
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import cdist, pdist
from tqdm import tqdm

from talking import cli, media
from talking.turns import Turn

# Windows given to a network at once: more is no faster on a processor and takes some 20 MB each.
_BATCH = 8


@dataclass
class Settings:
    """Settings of speaker diarization."""

    model: str = cli.setting("packaged", "diarization models", choices=["packaged"])
    speech_threshold: float = cli.setting(
        0.44, "a speaker is heard where the segmentation network is at least this sure (0-1)"
    )
    pause_s: float = cli.setting(0.5, "pauses of one speaker up to this long, in seconds, belong to the turn")
    same_voice: float = cli.setting(
        0.08, "voices with centres nearer than this cosine distance are one, however many people are seen talking"
    )
    other_voice: float = cli.setting(
        0.22, "a voice with a centre farther than this cosine distance from all others is one more person, seen or not"
    )
    seconds_seen: float = cli.setting(
        1.0, "a face that speaks for fewer seconds is not counted as a person seen talking"
    )


class ResemblyzerEmbedding(Model):
    """Resemblyzer's speaker encoder as a pyannote.audio model, so that its pipeline takes it as any other.

    Mel features, the recurrent network and the mean over partial utterances of 1.6 s follow Resemblyzer's
    documented settings; the frames where the speaker is not active are left out of the features.
    """

    PARTIAL_FRAMES, PARTIAL_STEP = 160, 77
    MIN_FRAMES = 40
    TARGET_DB = -30.0

    def __init__(self) -> None:
        super().__init__(sample_rate=media.SOUND_HZ, num_channels=1)
        self.lstm = torch.nn.LSTM(40, 256, 3, batch_first=True)
        self.linear = torch.nn.Linear(256, 256)
        mels = librosa.filters.mel(sr=media.SOUND_HZ, n_fft=400, n_mels=40)
        self.register_buffer("mels", torch.from_numpy(mels), persistent=False)
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
        """Return the encoder with the weights that the package carries."""
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
        spectrum = torch.stft(sound, 400, 160, window=self.window, pad_mode="constant", return_complex=True).abs() ** 2
        mel = (self.mels @ spectrum).transpose(1, 2)
        frames = mel.shape[1]
        active = torch.ones(len(sound), frames, dtype=torch.bool, device=sound.device)
        if weights is not None:
            active = torch.nn.functional.interpolate(weights[:, None].float(), size=frames, mode="nearest")[:, 0] > 0.5
        out = torch.full((len(sound), self.dimension), torch.nan, device=sound.device)
        partials, owner = [], []
        for i in range(len(sound)):
            heard = mel[i, active[i]]
            if len(heard) < self.MIN_FRAMES:
                continue
            level = _level_db(sound[i], active[i])
            if level < self.TARGET_DB:
                heard = heard * 10 ** ((self.TARGET_DB - level) / 10)
            for start in range(0, max(1, len(heard) - self.PARTIAL_FRAMES + self.PARTIAL_STEP), self.PARTIAL_STEP):
                part = heard[start : start + self.PARTIAL_FRAMES]
                if start > 0 and len(part) < 0.75 * self.PARTIAL_FRAMES:
                    break
                partials.append(torch.nn.functional.pad(part, (0, 0, 0, self.PARTIAL_FRAMES - len(part))))
                owner.append(i)
        if not partials:
            return out
        _, (hidden, _) = self.lstm(torch.stack(partials))
        embedded = torch.nn.functional.normalize(torch.relu(self.linear(hidden[-1])), dim=1)
        owners = torch.tensor(owner, device=sound.device)
        for i in owners.unique():
            out[i] = torch.nn.functional.normalize(embedded[owners == i].mean(dim=0), dim=0)
        return out


def packaged_segmentation() -> PyanNet:
    """Return the speaker segmentation network that whisperx carries."""
    path = _package("whisperx") / "assets" / "pytorch_model.bin"
    # The file is a training checkpoint: besides tensors it names these plain classes, and nothing else is let in.
    known = [
        *(dict, list, int, collections.defaultdict, typing.Any, torch.torch_version.TorchVersion),
        *(omegaconf.base.Metadata, omegaconf.base.ContainerMetadata, omegaconf.listconfig.ListConfig),
        *(omegaconf.nodes.AnyNode, task.Problem, task.Specifications, task.Resolution, pyannote_model.Introspection),
    ]
    with torch.serialization.safe_globals(known):
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    settings = checkpoint["hyper_parameters"]
    model = PyanNet(**{k: settings[k] for k in ("sincnet", "lstm", "linear", "sample_rate", "num_channels")})
    model.specifications = checkpoint["pyannote.audio"]["specifications"]
    model.setup()
    model.load_state_dict(checkpoint["state_dict"])
    return model.eval()


class SeenVoicesClustering(BaseClustering):
    """Clustering of voices in which the number of people seen talking decides what the voices themselves leave open.

    A tree by Ward's method on embeddings of unit length, which single odd embeddings do not upset as they do average
    linkage; a cut of it is refined as spherical k-means. There are as many clusters as `people_seen`, but fewer if two
    centres would lie nearer than `same_voice` (cosine distance), and more if all centres then lie farther apart than
    `other_voice`: a voice from off screen. With nobody seen, the limit for more lies half way.
    """

    # The tree of n voices takes n² distances: of a long sound this many, evenly spread, make the tree, the rest joins them.
    MOST_IN_TREE = 4000
    # A cluster of fewer windows, which lie half a second apart, is an odd noise rather than a person.
    SMALLEST = 4
    MOST_UNSEEN = 4
    _REFINEMENTS = 5

    def __init__(self, same_voice: float, other_voice: float) -> None:
        super().__init__(metric="cosine", constrained_assignment=True)
        self.same_voice, self.other_voice = same_voice, other_voice
        self.people_seen = 0

    def cluster(
        self,
        embeddings: np.ndarray,
        min_clusters: int | None = None,
        max_clusters: int | None = None,
        num_clusters: int | None = None,
    ) -> np.ndarray:
        """Return the cluster, from 0, of each of the embeddings (n, dimension)."""
        count = len(embeddings)
        if count == 1:
            return np.zeros(1, dtype=int)
        chosen = np.unique(np.linspace(0, count - 1, min(count, self.MOST_IN_TREE)).astype(int))
        of_tree = embeddings[chosen] / np.linalg.norm(embeddings[chosen], axis=1, keepdims=True)
        tree = linkage(of_tree, method="ward")
        smallest = min(self.SMALLEST, max(1, round(0.1 * len(chosen))))

        def centres(clusters: int) -> tuple[np.ndarray, float, int]:
            """Return the centres, the least distance between two and the size of the smallest cluster."""
            labels = fcluster(tree, clusters, criterion="maxclust")
            for _ in range(self._REFINEMENTS):
                middles = np.stack([of_tree[labels == name].mean(axis=0) for name in np.unique(labels)])
                labels = cdist(of_tree, middles, metric="cosine").argmin(axis=1)
            apart = pdist(middles, metric="cosine").min() if len(middles) > 1 else np.inf
            return middles, apart, np.bincount(labels).min()

        limit = self.other_voice if self.people_seen else (self.same_voice + self.other_voice) / 2
        wanted = min(max(self.people_seen, 1), len(chosen))
        for clusters in range(min(wanted + self.MOST_UNSEEN, len(chosen)), wanted, -1):
            middles, apart, size = centres(clusters)
            if apart > limit and size >= smallest:
                break
        else:
            middles, apart, _ = centres(wanted)
            while apart < self.same_voice:
                middles, apart, _ = centres(len(middles) - 1)
        return cdist(embeddings, middles, metric="cosine").argmin(axis=1)


class _NoCalibration(PLDA):
    """The pipeline wants a calibration even where its clustering never asks for one."""

    def __init__(self) -> None:
        pass


def diarize(sound: str | Path, people_seen: int = 0, settings: Settings | None = None) -> list[Turn]:
    """Return the speaker turns of a `media/` wav, overlapping where people talk at once; silence has none.

    `people_seen` is how many people the picture shows talking (0 if unknown): a hint, as a voice may come from off screen.
    """
    settings = settings or Settings()
    samples = media.sound(sound)
    if samples.size == 0:
        return []
    annotation = MODELS[settings.model](samples, people_seen, settings)
    return [
        Turn(segment.start, min(segment.end, samples.size / media.SOUND_HZ), speaker)
        for segment, _, speaker in annotation.itertracks(yield_label=True)
        if segment.start < samples.size / media.SOUND_HZ
    ]


def packaged(samples: np.ndarray, people_seen: int, settings: Settings) -> Annotation:
    """Return the diarization of samples (n,) by pyannote.audio's pipeline over the packaged models."""
    pipeline = SpeakerDiarization(
        segmentation=packaged_segmentation(),
        segmentation_batch_size=_BATCH,
        embedding=ResemblyzerEmbedding.packaged(),
        embedding_batch_size=_BATCH,
        embedding_exclude_overlap=True,
        plda=_NoCalibration(),
        clustering="AgglomerativeClustering",
    )
    pipeline.clustering = SeenVoicesClustering(settings.same_voice, settings.other_voice)
    pipeline.clustering.people_seen = people_seen
    pipeline.instantiate(
        {"segmentation": {"threshold": settings.speech_threshold, "min_duration_off": settings.pause_s}}
    )
    with _Progress() as progress:
        result = pipeline(
            {"waveform": torch.from_numpy(samples)[None], "sample_rate": media.SOUND_HZ, "uri": "sound"}, hook=progress
        )
    return result.speaker_diarization


MODELS = {"packaged": packaged}


def people_seen_talking(asd: pd.DataFrame, person_of_track: dict[int, int], seconds: float) -> int:
    """Return how many people have the best positive score on screen for at least `seconds` in all.

    `asd` is the table `asd`; a track that `person_of_track` does not know counts as a person of its own. Only the
    best score of a frame counts, so that somebody who chews while another talks is not counted.
    """
    if asd.empty:
        return 0
    smooth = asd.sort_values(["track", "frame"], ignore_index=True)
    scores = smooth.groupby("track")["score"].transform(lambda s: s.rolling(7, center=True, min_periods=1).mean())
    smooth = smooth.assign(score=scores)
    best = smooth.loc[smooth.groupby("frame")["score"].idxmax()]
    best = best[best["score"] > 0]
    person = best["track"].map(lambda track: person_of_track.get(track, ("track", track)))
    return int((person.value_counts() >= seconds * media.FPS).sum())


class _Progress:
    """Shows pyannote.audio's steps, which report what they have completed, as one bar each."""

    def __enter__(self) -> "_Progress":
        self.bar = None
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def __call__(
        self, step: str, _result: object, file: object = None, total: int | None = None, completed: int | None = None
    ) -> None:
        if completed is None:
            return
        if self.bar is None or self.bar.desc != step:
            self.__exit__()
            self.bar = tqdm(total=total, desc=step)
        self.bar.update(min(completed, total) - self.bar.n)


def _level_db(sound: torch.Tensor, active: torch.Tensor) -> float:
    mask = torch.nn.functional.interpolate(active[None, None].float(), size=len(sound), mode="nearest")[0, 0] > 0.5
    return float(20 * torch.log10(sound[mask].square().mean().sqrt().clamp_min(1e-8)))


def _package(name: str) -> Path:
    """Return a package's folder without importing it."""
    return Path(importlib.util.find_spec(name).origin).parent
