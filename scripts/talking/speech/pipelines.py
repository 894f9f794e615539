"""The diarization pipelines, all of pyannote.audio: over packaged models, and the published ones."""

from talking.core import offline  # noqa: F401, I001 - read by the libraries below when they are imported
from pathlib import Path

import numpy as np
import torch
from pyannote.audio.pipelines.clustering import BaseClustering
from pyannote.audio.pipelines.speaker_diarization import SpeakerDiarization
from pyannote.core import Annotation
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import cdist, pdist
from tqdm import tqdm

from talking.sound import voice_encoder
from talking.speech import diarization, voice_models
from talking.video import media

# Largest number of voices beyond the people seen: they come from off screen.
_MOST_UNSEEN = 4


class SeenVoicesClustering(BaseClustering):
    """Clustering of voices in which the number of people seen talking decides what the voices leave open.

    A tree by Ward's method on embeddings of unit length, which single odd embeddings do not upset as they do average
    linkage; a cut of it is refined as spherical k-means. There are as many clusters as `people_seen`, but fewer if two
    centres would lie nearer than `same_voice` (cosine distance), and more if all centres then lie farther apart than
    `other_voice`: a voice from off screen. With nobody seen, the limit for more lies half way.
    """

    # A cluster of fewer windows, which lie half a second apart, is an odd noise rather than a person.
    SMALLEST = 4
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
        chosen = voice_models.evenly_spread(count)
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
        for clusters in range(min(wanted + _MOST_UNSEEN, len(chosen)), wanted, -1):
            middles, apart, size = centres(clusters)
            if apart > limit and size >= smallest:
                break
        else:
            middles, apart, _ = centres(wanted)
            while apart < self.same_voice:
                middles, apart, _ = centres(len(middles) - 1)
        return cdist(embeddings, middles, metric="cosine").argmin(axis=1)


def embedded(samples: np.ndarray, people_seen: int, settings: diarization.Settings) -> Annotation:
    """Return the diarization of samples (n,) by pyannote.audio's pipeline over the packaged models."""
    pipeline = SpeakerDiarization(
        segmentation=voice_models.packaged_segmentation(),
        segmentation_batch_size=voice_models.BATCH,
        embedding=voice_encoder.ResemblyzerEmbedding.packaged(),
        embedding_batch_size=voice_models.BATCH,
        embedding_exclude_overlap=True,
        plda=voice_models.NoCalibration(),
        clustering="AgglomerativeClustering",
    )
    pipeline.clustering = SeenVoicesClustering(settings.same_voice, settings.other_voice)
    pipeline.clustering.people_seen = people_seen
    pipeline.instantiate(
        {"segmentation": {"threshold": settings.speech_threshold, "min_duration_off": settings.pause_s}}
    )
    return _apply(pipeline, samples)


def published(samples: np.ndarray, people_seen: int, settings: diarization.Settings) -> Annotation:
    """Return the diarization of samples (n,) by a published pipeline of pyannote.audio.

    It looks for at least as many voices as people are seen talking, and for a few more, which may come from off screen.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pipeline = voice_models.published_pipeline(Path(settings.weights), device)
    hints = {"min_speakers": people_seen, "max_speakers": people_seen + _MOST_UNSEEN} if people_seen else {}
    try:
        return _apply(pipeline, samples, **hints)
    except ValueError:
        # community-1's clustering fails if there are fewer pieces of voices than voices to find.
        return _apply(pipeline, samples)


def _apply(pipeline: SpeakerDiarization, samples: np.ndarray, **hints: int) -> Annotation:
    file = {"waveform": torch.from_numpy(samples)[None], "sample_rate": media.SOUND_HZ, "uri": "sound"}
    with _Progress() as progress:
        return pipeline(file, hook=progress, **hints).speaker_diarization


PIPELINES = {"embedded": embedded, "pyannote-community-1": published, "pyannote-3.1": published}


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
