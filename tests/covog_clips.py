"""Small clip folders in the data set's layout, in which everything tells the number of its frame."""

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from talking.core import keypoints
from talking.video import encoding, media

WIDTH, HEIGHT = 96, 64
LAYERS, CHANNELS = 2, 6


def score_at(frame: int, person: int) -> float:
    """The raw speaking score of a person in a frame."""
    return 3.0 * (frame + 100 * person)


def brightness_at(frame: int) -> int:
    """The grey level of a frame's picture."""
    return 20 + 4 * (frame % 50)


def left_shoulder_at(frame: int, person: int) -> float:
    """The x of a person's left shoulder in a frame."""
    return person * WIDTH / 2 + 30 + (frame % 12)


def pose(frames: int, people: int) -> np.ndarray:
    """Keypoints (f, p, 133, 2): a face of 12 px and shoulders, moving to the right with the frames."""
    points = np.zeros((frames, people, keypoints.COUNT, 2), dtype=np.float32)
    for frame in range(frames):
        for person in range(people):
            x = left_shoulder_at(frame, person)
            at = points[frame, person]
            at[:] = (x - 10, 20)
            at[keypoints.LEFT_SHOULDER], at[keypoints.RIGHT_SHOULDER] = (x, 40), (x - 20, 40)
            at[keypoints.CONTOUR_RIGHT], at[keypoints.CONTOUR_LEFT] = (x - 16, 16), (x - 4, 16)
            at[keypoints.CHIN], at[keypoints.NOSE_BRIDGE_END] = (x - 10, 28), (x - 10, 20)
            mouth = np.linspace(0, 2 * np.pi, 12, endpoint=False)
            at[keypoints.OUTER_LIPS] = np.stack([x - 10 + 3 * np.cos(mouth), 24 + 1.5 * np.sin(mouth)], axis=-1)
    return points


def grey_pictures(frames: int) -> Iterator[np.ndarray]:
    """Yield pictures whose grey tells their number."""
    across = np.linspace(0, 20, WIDTH)[None, :, None]
    for frame in range(frames):
        yield np.broadcast_to(brightness_at(frame) + across, (HEIGHT, WIDTH, 3)).round().astype(np.uint8)


def busy_pictures(frames: int) -> Iterator[np.ndarray]:
    """Yield a camera's way over a wall of coloured spots of 8 to 128 px: 15 kB a frame at 1920x1080, as films have."""
    random, size = np.random.default_rng(0), (HEIGHT + 60, WIDTH + 120)
    wall = np.full((*size, 3), 128, dtype=np.float32)
    for spot, contrast in ((8, 25), (32, 30), (128, 40)):
        spots = random.normal(size=(size[0] // spot + 1, size[1] // spot + 1, 3)).astype(np.float32)
        wall += contrast * cv2.resize(spots, size[::-1], interpolation=cv2.INTER_CUBIC)
    wall = wall.clip(0, 255).astype(np.uint8)
    for frame in range(frames):
        x, y = int(60 + 60 * np.sin(frame / 12)), int(30 + 30 * np.cos(frame / 17))
        yield wall[y : y + HEIGHT, x : x + WIDTH]


def make(folder: Path, frames: int = 40, people: int = 2, start: int = 175, busy: bool = False) -> Path:
    """Write a clip folder; `start` is its first frame in the video that it was cut from.

    Pictures are grey, brighter to the right; or `busy`, with as much in them, and as much that moves, as filmed ones.
    """
    folder.mkdir(parents=True)
    encoding.encode(
        folder / "video.mp4", busy_pictures(frames) if busy else grey_pictures(frames), crf=18 if busy else 1
    )
    # A sound that is loud in every eighth frame.
    samples = np.zeros(frames * media.SAMPLES_PER_FRAME, dtype=np.float32)
    samples.reshape(frames, -1)[::8] = 0.5 * np.sin(np.arange(media.SAMPLES_PER_FRAME) / 5)
    encoding.write_sound(folder / "audio.wav", samples)
    points = pose(frames, people)
    bodies = np.concatenate([points.min(2), points.max(2)], axis=-1)
    np.savez_compressed(
        folder / "poses.npz",
        keypoints=points,
        scores=np.ones(points.shape[:3], dtype=np.float32),
        boxes=bodies,
        valid=np.ones(points.shape[:2], dtype=bool),
    )
    heard = np.zeros((frames, LAYERS, CHANNELS), dtype=np.float16)
    heard[:, 0, 0] = np.arange(frames)
    np.savez_compressed(folder / "sound.npz", sound=heard)
    persons = [
        {
            "person": i,
            "track": 10 + i,
            "speak": [[0, frames]] if i == 0 else [],
            "listen": [] if i == 0 else [[0, frames]],
            "speak_merged": [[0, frames]] if i == 0 else [],
            "listen_merged": [] if i == 0 else [[0, frames]],
            "speaking_score": [score_at(f, i) for f in range(frames)],
            "face_track": [[left_shoulder_at(f, i) - 18, 12, left_shoulder_at(f, i) - 2, 30] for f in range(frames)],
            "detected": [[0, frames]],
        }
        for i in range(people)
    ]
    speakers = {"clip": folder.name, "fps": 25, "num_frames": frames, "people": persons, "words": []}
    (folder / "speakers.json").write_text(json.dumps(speakers))
    meta = {
        "clip": folder.name,
        "video": folder.name.split("_")[1],
        "start_frame": start,
        "end_frame": start + frames,
        "num_people": people,
        "tracks": [10 + i for i in range(people)],
        "num_frames": frames,
        "width": WIDTH,
        "height": HEIGHT,
        "fps": 25,
        "files": {"video.mp4": {"bytes": 1, "sha256": folder.name}},
    }
    (folder / "meta.json").write_text(json.dumps(meta))
    return folder


def make_dataset(root: Path, people: tuple[int, ...] = (2, 3), frames: int = 40, test: int = 0) -> Path:
    """Write a data set of one clip for each number of people, the last `test` of them in the easy test split."""
    names = []
    for number, count in enumerate(people):
        start = 175 + 100 * number
        name = f"toy_v{number}_{start:06d}to{start + frames:06d}"
        make(root / name, frames=frames, people=count, start=start)
        names.append(name)
    (root / "splits").mkdir(parents=True)
    parts = {"train": names[: len(names) - test], "test_easy": names[len(names) - test :], "test_hard": []}
    for part, clips in parts.items():
        (root / "splits" / f"{part}.json").write_text(json.dumps([{"clip": name} for name in clips]))
    return root
