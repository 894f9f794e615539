"""Resemblyzer's voice encoder, whose weights are inside a package: whose voice it is."""

from talking.core import offline  # noqa: F401, I001 - read by the libraries below when they are imported
import importlib.util
from pathlib import Path

import torch
import torchaudio
from pyannote.audio import Model
from pyannote.audio.core import task

from talking.video import media


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
        path = Path(importlib.util.find_spec("resemblyzer").origin).parent / "pretrained.pt"
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


def _level_db(sound: torch.Tensor, active: torch.Tensor) -> float:
    mask = torch.nn.functional.interpolate(active[None, None].float(), size=len(sound), mode="nearest")[0, 0] > 0.5
    return float(20 * torch.log10(sound[mask].square().mean().sqrt().clamp_min(1e-8)))
