"""Distance of generated videos to the truth: per clip in one pass, only numbers are kept.

Metrics whose network is missing are skipped and named. If something replaces a published network, the metric's name says so.
"""

import importlib.util
from collections import defaultdict, deque
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import torch
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from covog import evaluation_networks, motion
from covog.conditions import People, Placement, face_boxes, mouth_boxes
from talking.core import boxes, keypoints
from talking.faces import embedding
from talking.video import media

LIP_SYNC = "lip_sync (opening of the mouth with loudness, in place of SyncNet)"
IDENTITY = "identity_similarity (dlib, in place of ArcFace)"
# These compare pictures with the truth's.
COMPARED = {"ssim", "psnr_db", "lpips", "fvd", "psnr_mouth_db", IDENTITY}
# These need dlib.
_OF_DLIB = [IDENTITY, LIP_SYNC, "landmark_jitter", "interactivity"]
I3D = "i3d_torchscript.pt"
_HAND_GROWN = 1.3
# SyncNet's crops: a square as much larger than the face, and how far its middle lies below the face's.
_LIPS_GROWN, _LIPS_LOWER = 1.4, 0.2
_FVD_WINDOW = 16
# Points of hands are drawn, and so steer the model, from this confidence on.
_SURE, _HANDS = 0.3, (keypoints.LEFT_HAND, keypoints.RIGHT_HAND)
# Frames, or five crops of a face, that a network looks at together.
_BATCH = 16
_IDENTITY_EVERY = 5
# With fewer frames of speech a correlation says nothing.
FEWEST_FRAMES = 12
# Lower loudness counts as this: all silence is the same.
_FLOOR_DB = -60.0
# The mean square of what is lost when pictures are rounded: equal pictures count as no nearer, 58.9 dB, as the reference picture may be
# one of the frames.
_LEAST_ERROR = 1 / 12


@dataclass
class Faces:
    """Faces in the placed picture: boxes `mouths` and `heads` (f, p, 4) and `hands` (f, 2p, 4) px and the 68 `points`
    (f, p, 68, 2), NaN where unknown; who is `speaking` (f, p)."""

    mouths: np.ndarray
    speaking: np.ndarray
    points: np.ndarray
    heads: np.ndarray
    hands: np.ndarray

    def part(self, frames: slice) -> "Faces":
        """Return the faces of a range of frames."""
        return Faces(*(getattr(self, of.name)[frames] for of in fields(self)))

    @classmethod
    def of(cls, people: People, speaking: np.ndarray, placement: Placement) -> "Faces":
        """Take the faces of a clip's people in all frames."""
        frames = np.arange(len(people.keypoints))
        points = np.where(
            people.confidence[:, :, keypoints.FACE, None] > 0, people.keypoints[:, :, keypoints.FACE], np.nan
        )
        return cls(
            mouth_boxes(people, frames, placement).swapaxes(0, 1),
            speaking,
            placement.points(points),
            face_boxes(people, frames, placement).swapaxes(0, 1),
            np.concatenate([_hands(people, hand, placement) for hand in _HANDS], axis=1),
        )


def _hands(people: People, hand: slice, placement: Placement) -> np.ndarray:
    """Return boxes (f, p, 4) px around the points of one hand of each person that are sure, grown; NaN where none is."""
    is_sure = (people.confidence[:, :, hand] >= _SURE)[..., None]
    points = placement.points(people.keypoints[:, :, hand])
    low, high = np.where(is_sure, points, np.inf).min(2), np.where(is_sure, points, -np.inf).max(2)
    found = np.where(is_sure.any(2), np.concatenate([low, high], axis=-1), np.nan)
    return boxes.clip(boxes.scale(found, _HAND_GROWN), *placement.size)


@dataclass
class Networks:
    """The evaluation networks that were found; the reasons why others were not."""

    lpips: evaluation_networks.Lpips | None = None
    syncnet: evaluation_networks.SyncNet | None = None
    i3d: torch.nn.Module | None = None
    face_embedder: embedding.Embedder | None = None
    face_marker: motion.Marker | None = None
    missing: dict[str, str] = field(default_factory=dict)
    device: torch.device | str = "cpu"

    @classmethod
    def found(cls, weights: Path | None, device: torch.device | str = "cpu") -> "Networks":
        """Load what is available: dlib's faces from its package, the others from a folder of downloaded weights to the device."""
        networks = cls(device=device)
        if importlib.util.find_spec("dlib") and importlib.util.find_spec("face_recognition_models"):
            networks.face_embedder, networks.face_marker = embedding.dlib_embedder(), motion.dlib_marker()
        else:
            networks.missing |= dict.fromkeys(_OF_DLIB, "dlib or face_recognition_models is not installed")
        lpips, syncnet, i3d = (
            (weights or Path()) / name for name in (evaluation_networks.ALEXNET, evaluation_networks.SYNCNET, I3D)
        )
        for file, of in ((lpips, ["lpips"]), (syncnet, ["lse_c", "lse_d"]), (i3d, ["fvd"])):
            if not weights or not file.exists():
                networks.missing |= dict.fromkeys(of, f"{file.name} is not in the folder of weights")
        networks.lpips = None if "lpips" in networks.missing else evaluation_networks.Lpips.of(lpips).to(device)
        if "lse_c" not in networks.missing:
            networks.syncnet = evaluation_networks.SyncNet.of(syncnet).to(device)
        networks.i3d = None if "fvd" in networks.missing else torch.jit.load(i3d, map_location=device).eval()
        return networks


class Measures:
    """The measures of one clip, fed with its frames in order; networks look at some frames together, on their device."""

    def __init__(self, faces: Faces, samples: np.ndarray, networks: Networks) -> None:
        """Take the clip's faces, and its sound at 16 kHz."""
        self.faces, self.samples, self.networks = faces, samples, networks
        self.loudness = loudness_db(samples, len(faces.mouths))
        people = faces.mouths.shape[1]
        self.crops = [deque(maxlen=evaluation_networks.LIPS_FRAMES) for _ in range(people)]
        self.seen: list[list[np.ndarray]] = [[] for _ in range(people)]
        self.sums: dict[tuple[str, str], list[float]] = defaultdict(list)
        self.waiting: list[tuple[np.ndarray, np.ndarray]] = []
        self.waiting_lips: list[tuple[int, int, np.ndarray]] = []
        self.opened: list[np.ndarray] = []
        self.before: tuple[np.ndarray, np.ndarray] | None = None
        self.movements: list[np.ndarray | None] = [None] * people
        self.recent: list[np.ndarray] = []
        self.window: list[tuple[np.ndarray, np.ndarray]] = []
        self.features: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, truth: np.ndarray, made: np.ndarray) -> None:
        """Take the next frame's pictures (h, w, 3) uint8."""
        frame = len(self.opened)
        self.opened.append(np.full(len(self.movements), np.nan))
        self.waiting.append((made, truth))
        if len(self.waiting) == _BATCH:
            self._pictures()
        if self.networks.syncnet is not None:
            self._lips(frame, made)
        self.recent = [*self.recent[-2:], made.astype(np.float32)]
        if len(self.recent) == 3:
            before, now, after = self.recent
            self.sums["jitter", "everything"].append(float(np.abs(after - 2 * now + before).mean()))
        self._mouths(frame, truth, made)
        if self.before is not None:
            self._warping(frame, truth, made)
            if self.networks.face_marker is not None:
                self._face_movements(frame, made)
        self.before = truth, made
        if self.networks.face_embedder is not None and frame % _IDENTITY_EVERY == 0:
            self._identity(frame, truth, made)
        if self.networks.i3d is not None:
            self._window(truth, made)

    def finish(self) -> dict[tuple[str, str], float]:
        """Return the clip's measures by metric and by group of people."""
        if self.waiting:
            self._pictures()
        self._see_lips()
        found = {key: float(np.mean(values)) for key, values in self.sums.items()}
        return found | self._lip_sync() | self._lip_sync_errors()

    def _lip_sync(self) -> dict[tuple[str, str], float]:
        """Return the correlation of the opening of a speaker's mouth with the loudness, the mean over people, if anybody speaks for
        as long as it needs."""
        opened = np.stack(self.opened)
        loudness, speaks = self.loudness[: len(opened)], self.faces.speaking[: len(opened)]
        found = [
            _correlation(*(of[does] for of in (mouth, loudness)))
            for mouth, does in zip(opened.T, speaks.T, strict=True)
        ]
        found = [agreement for agreement in found if np.isfinite(agreement)]
        return {(LIP_SYNC, "speaking"): float(np.mean(found))} if found else {}

    def _lip_sync_errors(self) -> dict[tuple[str, str], float]:
        """Return LSE-C and LSE-D of those who speak and of those who listen, each the mean over people."""
        found: dict[tuple[str, str], list[float]] = defaultdict(list)
        for person, seen in enumerate(self.seen):
            if not seen:
                continue
            heard = self.networks.syncnet.hear(self.samples, len(seen))
            speaks = self.faces.speaking[: len(seen), person]
            for of, frames in (("speaking", speaks), ("listening", ~speaks)):
                for metric, value in zip(
                    ("lse_c", "lse_d"), evaluation_networks.lip_sync_errors(np.stack(seen), heard, frames), strict=True
                ):
                    if np.isfinite(value):
                        found[metric, of].append(value)
        return {key: float(np.mean(values)) for key, values in found.items()}

    def _pictures(self) -> None:
        """Measure the frames that wait for it."""
        made, truth = (
            torch.from_numpy(np.stack(side)).to(self.networks.device).permute(0, 3, 1, 2).float()
            for side in zip(*self.waiting, strict=True)
        )
        self.waiting.clear()
        ssim = structural_similarity_index_measure(made, truth, data_range=255.0, reduction="none")
        psnr = peak_signal_noise_ratio(made, truth, data_range=255.0, reduction="none", dim=(1, 2, 3))
        found = {"ssim": ssim, "psnr_db": psnr.clamp(max=_psnr(0))}
        if self.networks.lpips is not None:
            found["lpips"] = self.networks.lpips(made / 255, truth / 255)
        for metric, values in found.items():
            self.sums[metric, "everything"] += values.reshape(-1).tolist()

    def _lips(self, frame: int, made: np.ndarray) -> None:
        for person, box in enumerate(self.faces.heads[frame]):
            self.crops[person].append(None if np.isnan(box).any() else face_crop(made, box))
            if len(self.crops[person]) == evaluation_networks.LIPS_FRAMES:
                if all(crop is not None for crop in self.crops[person]):
                    self.waiting_lips.append((person, len(self.seen[person]), np.stack(self.crops[person])))
                self.seen[person].append(np.full(1024, np.nan))
        if len(self.waiting_lips) >= _BATCH:
            self._see_lips()

    def _see_lips(self) -> None:
        """Embed the faces that wait for it."""
        if not self.waiting_lips:
            return
        embedded = self.networks.syncnet.see(np.stack([crops for *_, crops in self.waiting_lips]))
        for (person, place, _), row in zip(self.waiting_lips, embedded, strict=True):
            self.seen[person][place] = row
        self.waiting_lips.clear()

    def _mouths(self, frame: int, truth: np.ndarray, made: np.ndarray) -> None:
        for person, box in enumerate(self.faces.mouths[frame]):
            if np.isnan(box).any():
                continue
            x1, y1 = np.floor(box[:2]).astype(int)
            x2, y2 = np.ceil(box[2:]).astype(int)
            here, wanted = (p[y1:y2, x1:x2].astype(np.float32) for p in (made, truth))
            if not here.size:
                continue
            of = "speaking" if self.faces.speaking[frame, person] else "listening"
            self.sums["psnr_mouth_db", of].append(_psnr(float(np.square(here - wanted).mean())))

    def _warping(self, frame: int, truth: np.ndarray, made: np.ndarray) -> None:
        regions = {"faces": self.faces.heads[frame], "hands": self.faces.hands[frame]}
        regions = {of: found for of, found in regions.items() if np.isfinite(found).all(axis=-1).any()}
        if regions:
            pairs = zip(self.before, (truth, made), strict=True)
            errors = motion.warping_errors(*pairs, list(regions.values()))
            for of, error in zip(regions, errors, strict=True):
                if np.isfinite(error):
                    self.sums["warping_error", of].append(error)

    def _face_movements(self, frame: int, made: np.ndarray) -> None:
        """Measure how landmarks move, in px of a face of 224 px, and how far mouths are open.

        `interactivity` as in AnyTalker's benchmark (arXiv 2511.23475): how far the points of eyes and brows of a person who listens
        move from frame to frame, mean over the points and over the frames in which somebody else speaks; here relative to the
        face's outline and nose, as AnyTalker's crops follow the face, and with dlib's landmarks. `landmark_jitter` is the mean size
        of the second difference of all 68 points, with the head's motion.
        """
        speaking = self.faces.speaking[frame]
        for person, points in enumerate(self.faces.points[frame]):
            last, moved = self.movements[person], None
            if np.isfinite(points).all():
                moved, now = motion.face_movement(self.networks.face_marker, self.before[1], made, points)
                self.opened[frame][person] = motion.opening(now)
                if not speaking[person] and speaking.any():
                    own = moved[motion.EYES_BROWS] - moved[motion.STEADY].mean(axis=0)
                    self.sums["interactivity", "listening"].append(float(np.linalg.norm(own, axis=-1).mean()))
                if last is not None:
                    bend = np.linalg.norm(moved - last, axis=-1).mean()
                    self.sums["landmark_jitter", "everything"].append(float(bend))
            self.movements[person] = moved

    def _identity(self, frame: int, truth: np.ndarray, made: np.ndarray) -> None:
        for points in self.faces.points[frame]:
            if np.isfinite(points).all():
                one, other = (self.networks.face_embedder((picture, points)) for picture in (truth, made))
                self.sums[IDENTITY, "everything"].append(float(one @ other))

    def _window(self, truth: np.ndarray, made: np.ndarray) -> None:
        self.window.append((truth, made))
        if len(self.window) == _FVD_WINDOW:
            pair = [
                torch.from_numpy(np.stack(side)).to(self.networks.device).permute(3, 0, 1, 2)[None].float()
                for side in zip(*self.window, strict=True)
            ]
            with torch.inference_mode():
                features = [
                    self.networks.i3d(v, rescale=True, resize=True, return_features=True)[0].cpu().numpy() for v in pair
                ]
            self.features.append(tuple(features))
            self.window = []


def face_crop(picture: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Return SyncNet's crop (224, 224, 3) of a face box (4,) px; grey where the picture ends."""
    half = _LIPS_GROWN * max(box[2] - box[0], box[3] - box[1]) / 2
    middle = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2 + _LIPS_LOWER * half
    return motion.cut_square(picture, middle, 2 * half, evaluation_networks.LIPS_SIDE)


def loudness_db(samples: np.ndarray, frames: int) -> np.ndarray:
    """Return the level (f,) of each frame's samples in dBFS."""
    samples = np.pad(samples, (0, max(0, frames * media.SAMPLES_PER_FRAME - len(samples))))
    power = np.square(samples[: frames * media.SAMPLES_PER_FRAME].reshape(frames, -1)).mean(axis=1)
    return np.maximum(10 * np.log10(power + 1e-12), _FLOOR_DB)


def frechet_distance(one: np.ndarray, other: np.ndarray) -> float:
    """Return the Fréchet distance of Gaussians fitted to features (n, d), as in FID and FVD (Unterthiner et al., 2018)."""
    means = one.mean(axis=0) - other.mean(axis=0)
    a, b = (np.cov(f, rowvar=False) for f in (one, other))
    # The trace of a product's root is the sum of its eigenvalues' roots.
    roots = np.sqrt(np.maximum(np.linalg.eigvals(a @ b).real, 0))
    return float(means @ means + np.trace(a) + np.trace(b) - 2 * roots.sum())


def _psnr(error: float) -> float:
    return float(10 * np.log10(255**2 / max(error, _LEAST_ERROR)))


def _correlation(opened: np.ndarray, loudness: np.ndarray) -> float:
    known = np.isfinite(opened)
    opened, loudness = opened[known], loudness[known]
    if len(opened) < FEWEST_FRAMES or np.ptp(opened) == 0 or np.ptp(loudness) == 0:
        return float("nan")
    return float(np.corrcoef(opened, loudness)[0, 1])
