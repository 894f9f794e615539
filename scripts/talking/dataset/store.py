"""The finished data set for readers: clips as arrays by frame index. Files are read on first access."""

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from talking.core import intervals
from talking.core.errors import InputError
from talking.video import media

SPLITS = ("train", "val", "test_easy", "test_hard")


def split(dataset: str | Path, name: str) -> list[Path]:
    """Return the folders of the clips of a split of `SPLITS`; none of `val` where a data set has no such file.

    Raises InputError that names the split's file if it cannot be read.
    """
    path = Path(dataset) / "splits" / f"{name}.json"
    if name == "val" and not path.exists():
        return []
    try:
        return [Path(dataset) / record["clip"] for record in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{path} is no split of a data set ({error!r}); run the workflow up to the data set."
        ) from error


def splits(dataset: str | Path) -> dict[str, list[Path]]:
    """Return the folders of the clips of each split; raises InputError that names a split's file that cannot be read."""
    return {name: split(dataset, name) for name in SPLITS}


def keep_only(folder: Path, clips: Iterable[Path]) -> None:
    """Make the folder of an export, and remove the folders in it that are of none of the `clips`."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {clip.name for clip in clips}
    for other in [path for path in folder.iterdir() if path.is_dir() and path.name not in wanted]:
        shutil.rmtree(other)


def data_set_hash(dataset: str | Path) -> str:
    """Return the SHA-256 over the `meta.json` of every training clip."""
    clips = hashlib.sha256()
    for clip in split(dataset, "train"):
        clips.update((clip / "meta.json").read_bytes())
    return clips.hexdigest()


def version(dataset: str | Path) -> str:
    """Return the version of a data set, as croissant.json in its folder says; "unknown" if there is none."""
    try:
        return json.loads((Path(dataset) / "croissant.json").read_text(encoding="utf-8"))["version"]
    except (OSError, ValueError, KeyError):
        return "unknown"


class Clip:
    """One clip's folder. People are in the order of `tracks`, left to right; boxes and points are in px of its pictures.

    Shapes: f frames, p people. Anything that cannot be read raises InputError that names the file.
    """

    fps = media.FPS

    def __init__(self, path: str | Path) -> None:
        """Remember the folder."""
        self.path = Path(path)

    @cached_property
    def meta(self) -> dict:
        """Content of meta.json: where the clip comes from and what was measured."""
        return self._json("meta.json")

    @cached_property
    def speakers(self) -> dict:
        """Content of speakers.json: boxes, scores and periods of each person, and the words."""
        return self._json("speakers.json")

    @property
    def frames(self) -> int:
        """Number of frames."""
        return self.meta["num_frames"]

    @property
    def people(self) -> int:
        """Number of people."""
        return self.meta["num_people"]

    @property
    def width(self) -> int:
        """Width of the pictures."""
        return self.meta["width"]

    @property
    def height(self) -> int:
        """Height of the pictures."""
        return self.meta["height"]

    @cached_property
    def face_boxes(self) -> np.ndarray:
        """Face boxes (f, p, 4) float32; NaN where a person is away."""
        return self._of_people("face_track", (4,)).astype(np.float32)

    @cached_property
    def scores(self) -> np.ndarray:
        """Raw speaking scores (f, p) float32, in TalkNet's logit scale."""
        return self._of_people("speaking_score", ()).astype(np.float32)

    @cached_property
    def speaking(self) -> np.ndarray:
        """Who speaks (f, p) bool, as decided frame by frame."""
        masks = [intervals.to_mask(person["speak"], self.frames) for person in self.speakers["people"]]
        return np.stack(masks, axis=1)

    @property
    def keypoints(self) -> np.ndarray:
        """The 133 points (f, p, 133, 2) float32; 0 where `pose_scores` is 0."""
        return self._poses["keypoints"]

    @property
    def pose_scores(self) -> np.ndarray:
        """Scores of the points (f, p, 133) float32, 0-1."""
        return self._poses["scores"]

    @property
    def body_boxes(self) -> np.ndarray:
        """Body boxes (f, p, 4) float32; 0 where the pose is not valid."""
        return self._poses["boxes"]

    @property
    def pose_valid(self) -> np.ndarray:
        """Where there is a pose (f, p) bool."""
        return self._poses["valid"]

    @cached_property
    def sound(self) -> np.ndarray:
        """Sound features float16: (f, layers, channels), or (f, p, layers, channels) of each person's own speech."""
        return self._arrays("sound.npz")["sound"]

    def samples(self, start: int = 0, end: int | None = None) -> np.ndarray:
        """Return the sound of frames [start, end) as samples (640 (end - start),) float32, 16 kHz."""
        return media.sound(self.path / "audio.wav", start, end)

    def pictures(self, start: int = 0, end: int | None = None) -> Iterator[np.ndarray]:
        """Yield the RGB pictures (h, w, 3) uint8 of frames [start, end)."""
        return media.frames(self.path / "video.mp4", start, end)

    def pictures_at(self, indices: np.ndarray) -> np.ndarray:
        """Return the RGB pictures (n, h, w, 3) uint8 of any frames, in any order, from one decode of the span they lie in."""
        indices = np.asarray(indices, dtype=int)
        if indices.size == 0:
            return np.zeros((0, self.height, self.width, 3), dtype=np.uint8)
        first, last, wanted = int(indices.min()), int(indices.max()), set(indices.tolist())
        found = {n: p for n, p in enumerate(self.pictures(first, last + 1), start=first) if n in wanted}
        if len(found) < len(wanted):
            raise InputError(
                f"{self.path / 'video.mp4'} has no frame {min(wanted - found.keys())}; run the workflow again."
            )
        return np.stack([found[n] for n in indices.tolist()])

    @cached_property
    def _poses(self) -> dict[str, np.ndarray]:
        return self._arrays("poses.npz")

    def _of_people(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        rows = [np.array(person[name], dtype=float).reshape(self.frames, *shape) for person in self.speakers["people"]]
        return np.stack(rows, axis=1)

    def _json(self, name: str) -> dict:
        try:
            return json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{self.path / name} cannot be read ({error}); run the workflow again.") from error

    def _arrays(self, name: str) -> dict[str, np.ndarray]:
        try:
            with np.load(self.path / name, allow_pickle=False) as arrays:
                return dict(arrays)
        except (OSError, ValueError, BadZipFile) as error:
            raise InputError(f"{self.path / name} cannot be read ({error}); run the workflow again.") from error
