"""What is left when the networks are taken away, held to the cost of a plain decode; bench_cost.py measures whole runs."""

import resource
from collections.abc import Callable
from pathlib import Path

import bench_cost
import cv2
import numpy as np
import pytest

from talking.video import cutting, encoding, ingest, media, shots

FRAMES, CUT = 200, 120


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    """Eight seconds at 1920×1080 and some 6 Mbit/s: a textured wall with grain, something large that sways, a cut."""
    random = np.random.default_rng(0)
    walls = [
        cv2.resize(random.integers(40, 215, (54, 96, 3), dtype=np.uint8), (1920, 1080), interpolation=cv2.INTER_CUBIC)
        for _ in range(2)
    ]
    head = cv2.resize(random.integers(40, 215, (30, 20, 3), dtype=np.uint8), (400, 600), interpolation=cv2.INTER_CUBIC)
    grain = random.integers(0, 14, (1080 + 64, 1920 + 64, 1), dtype=np.uint8)

    def picture(number: int) -> np.ndarray:
        x, y = random.integers(0, 64, 2)
        shown = walls[number >= CUT] + grain[y : y + 1080, x : x + 1920]
        at = 700 + round(60 * np.sin(number / 8))
        shown[400:1000, at : at + 400] = head
        return shown

    path = tmp_path_factory.mktemp("cost") / "film.mp4"
    sound = random.normal(0, 0.1, FRAMES * 640).astype(np.float32)
    encoding.encode(path, map(picture, range(FRAMES)), sound, crf=21)
    return path


def seconds_of(work: Callable[[], object]) -> float:
    """Return the processor seconds of some work, its threads and child processes included."""
    began = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    work()
    ended = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(e.ru_utime + e.ru_stime - b.ru_utime - b.ru_stime for b, e in zip(began, ended, strict=True))


def test_without_networks_a_video_costs_little_more_than_its_decode(film, tmp_path):
    mp4, wav, clips = tmp_path / "v.mp4", tmp_path / "v.wav", tmp_path / "clips"
    clips.mkdir()
    # An encoder begins a shot with a key frame, from which on pictures are copied.
    cuts = [(a, b, clips / f"{a}.mp4", clips / f"{a}.wav") for a, b in ((0, CUT), (CUT, FRAMES))]
    steps = {
        "ingest": lambda: ingest.ingest(film, mp4, wav, tmp_path / "v.json", ingest.Settings(), threads=1),
        "shots": lambda: shots.detect(mp4, shots.Settings()),
        "cut": lambda: cutting.cut_all(mp4, wav, cuts),
    }
    decodes, seconds = [], dict.fromkeys(steps, np.inf)
    # All are measured in turn and then again, the better counts: what slows the machine for a while slows neither alone.
    for _ in range(2):
        decodes.append(bench_cost.plain_decode(film).seconds)
        seconds = {name: min(seconds[name], seconds_of(work)) for name, work in steps.items()}
    decode = min(decodes)
    print(
        f"{film.stat().st_size * 8 * 25 / FRAMES / 1e6:.1f} Mbit/s, plain decode {decode:.2f} s;",
        ", ".join(f"{name} {s / decode:.2f}" for name, s in seconds.items()),
    )
    assert sum(seconds.values()) / decode < 2
    assert bench_cost.bytes_of(clips) < 2 * film.stat().st_size


def test_few_pictures_cost_less_than_all(film):
    few = seconds_of(lambda: list(media.frames_at(film, range(10, FRAMES, 45))))
    every = seconds_of(lambda: sum(1 for _ in media.frames(film)))
    print(f"a picture in 45: {few / every:.2f} of the whole")
    assert few < 0.85 * every


def test_memory_of_reading_pictures_does_not_grow(film, tmp_path):
    peaks = []
    for times in (1, 5):
        folder = tmp_path / str(times)
        command = bench_cost.commands(film, folder)["detect_shots"]
        bench_cost.looped(film, times, folder / "results/media/v.mp4")
        peaks.append(bench_cost.run_rule(command, folder).megabytes)
    print(f"shots of 8 s: {peaks[0]:.0f} MB, of 40 s: {peaks[1]:.0f} MB")
    assert peaks[1] < 1.2 * peaks[0]
