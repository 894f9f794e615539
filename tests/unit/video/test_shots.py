"""Shots of generated scenes: textured walls with a person-like blob before them."""

import functools
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from talking.core import tables
from talking.video import encoding, media, shots

WIDTH, HEIGHT = 320, 180
SETTINGS = shots.Settings()


@functools.cache
def wall(seed: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Return a wall with details of every size, (2 height, 4 width, 3)."""
    random = np.random.default_rng(seed)
    picture = np.zeros((2 * height, 4 * width, 3), np.float32)
    for cells, strength in ((4, 60), (16, 40), (64, 25)):
        noise = random.normal(0, strength, (2 * cells, 4 * cells, 3)).astype(np.float32)
        picture += cv2.resize(noise, (4 * width, 2 * height), interpolation=cv2.INTER_CUBIC)
    return np.clip(picture + random.uniform(80, 170, 3), 10, 245).astype(np.uint8)


def view(
    of: np.ndarray, x: float = 0, y: float = 0, zoom: float = 1.0, size: tuple[int, int] = (WIDTH, HEIGHT)
) -> np.ndarray:
    """Return what a camera sees of a wall, moved to the right and down by x and y pixels."""
    matrix = np.array([[zoom, 0, -x * zoom], [0, zoom, -y * zoom]], np.float32)
    return cv2.warpAffine(of, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def with_person(picture: np.ndarray, x: float, size: float = 0.6, seed: int = 9) -> np.ndarray:
    """Return a picture with a textured blob at x (0-1), `size` picture heights tall."""
    height, width = picture.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    cv2.ellipse(mask, (round(x * width), round(height * (1 - size / 2))), (round(height * size / 4), round(height * size / 2)), 0, 0, 360, 1, -1)  # fmt: skip
    person = view(wall(seed), x=-x * width)[:height, :width]
    return np.where(mask[:, :, None] > 0, person, picture)


def filmed(path: Path, pictures: list[np.ndarray]) -> Path:
    random = np.random.default_rng(5)
    noise = random.normal(0, 2, (HEIGHT + WIDTH, WIDTH + HEIGHT, 3)).astype(np.float32)
    corners = random.integers(0, 160, (len(pictures), 2))
    noisy = (
        np.clip(p + noise[y : y + p.shape[0], x : x + p.shape[1]], 0, 255).astype(np.uint8)
        for p, (y, x) in zip(pictures, corners, strict=True)
    )
    encoding.encode(path, noisy, crf=22)
    return path


def found(tmp_path: Path, pictures: list[np.ndarray], settings: shots.Settings = SETTINGS) -> pd.DataFrame:
    table = shots.detect(filmed(tmp_path / "v.mp4", pictures), settings)
    tables.write("shots", table, tmp_path / "shots.parquet")
    table = tables.read("shots", tmp_path / "shots.parquet")
    edges = [*table["start_frame"], len(pictures)]
    assert edges[0] == 0 and edges[1:] == table["end_frame"].tolist()
    assert table["shot"].tolist() == list(range(len(table)))
    assert (table["start_frame"] <= table["clear_start_frame"]).all()
    assert (table["clear_end_frame"] <= table["end_frame"]).all()
    return table


def scene(seed: int, frames: int, x: Callable[[int], float] = lambda n: 0, **options) -> list[np.ndarray]:
    background = functools.cache(lambda at: view(wall(seed), x=at, **options))
    return [with_person(background(x(n)), 0.5 + 0.02 * np.sin(n / 5)) for n in range(frames)]


def test_hard_cuts_are_exact(tmp_path):
    lengths = [40, 17, 60, 9, 33]
    pictures = [p for seed, length in enumerate(lengths) for p in scene(seed, length)]
    table = found(tmp_path, pictures)
    assert table["end_frame"].tolist() == np.cumsum(lengths).tolist()
    assert table["transition"].tolist() == ["start", "cut", "cut", "cut", "cut"]
    assert (table["clear_start_frame"] == table["start_frame"]).all()


def test_a_cut_from_far_to_near_of_the_same_scene(tmp_path):
    table = found(tmp_path, scene(0, 40) + scene(0, 40, zoom=1.5) + scene(0, 30, zoom=1.2))
    assert table["end_frame"].tolist() == [40, 80, 110]


def test_a_jump_to_other_people_before_the_same_wall(tmp_path):
    # One of three stays where they are, as does a part of the wall.
    of = wall(11)
    first = [with_person(with_person(view(of), 0.2, 0.95), 0.5, 0.95, seed=21) for _ in range(40)]
    second = [with_person(with_person(view(of, x=140), 0.8, 0.95, seed=22), 0.5, 0.95, seed=21) for _ in range(40)]
    left = slice(0, int(0.32 * WIDTH))
    for before, after in zip(first, second, strict=True):
        after[:, left] = before[:, left]
    table = found(tmp_path, first + second)
    assert table["start_frame"].tolist() == [0, 40]


def test_flashes_gestures_and_walkers_are_no_cuts(tmp_path):
    pictures = scene(1, 120)
    for n in (20, 60, 61):
        pictures[n] = np.clip(pictures[n].astype(int) + 110, 0, 255).astype(np.uint8)
    for n in range(80, 92):
        pictures[n] = with_person(pictures[n], (n - 80) / 12, size=1.2, seed=3)
    assert len(found(tmp_path, pictures)) == 1


@pytest.mark.parametrize("speed", [1.0, 6.0, 14.0])
def test_a_pan_is_no_cut_and_its_speed_is_measured(tmp_path, speed):
    table = found(tmp_path, scene(2, 60, x=lambda n: speed * n))
    assert len(table) == 1
    assert table["camera_motion"][0] == pytest.approx(speed * 25 / HEIGHT, rel=0.1)
    assert table["camera_motion_peak"][0] == pytest.approx(speed * 25 / HEIGHT, rel=0.15)


def test_people_who_move_do_not_move_the_camera(tmp_path):
    of = wall(3)
    pictures = [
        with_person(with_person(view(of), 0.35 + 0.1 * np.sin(n / 4), 0.9), 0.7 + 0.1 * np.cos(n / 3), 0.8, seed=4)
        for n in range(75)
    ]
    walks_out = [with_person(view(of), 0.5 + n / 50, 0.9) for n in range(50)]
    table = found(tmp_path, pictures + walks_out)
    assert len(table) == 1
    assert table["camera_motion"][0] < 0.02 and table["camera_motion_peak"][0] < 0.05
    assert table["picture_motion"][0] > 0.01


def test_a_still_has_hardly_any_motion(tmp_path):
    table = found(tmp_path, [view(wall(4))] * 40)
    assert table["camera_motion"][0] < 0.01 and table["picture_motion"][0] < 0.01


@pytest.mark.parametrize("length", [8, 15, 25, 50])
def test_a_dissolve_is_one_boundary_and_its_mixed_frames_are_told(tmp_path, length):
    first, second = scene(5, 60 + length), scene(6, 60 + length)
    mixed = []
    for n in range(length):
        part = (n + 1) / (length + 1)
        mixed.append(cv2.addWeighted(first[60 + n], 1 - part, second[n], part, 0))
    table = found(tmp_path, first[:60] + mixed + second[length:])
    assert table["transition"].tolist() == ["start", "fade"]
    assert table["start_frame"][1] == pytest.approx(60 + length / 2, abs=2)
    tolerance = 2 + length / 10
    assert table["clear_end_frame"][0] == pytest.approx(60, abs=tolerance)
    assert table["clear_start_frame"][1] == pytest.approx(60 + length, abs=tolerance)


def test_a_dissolve_to_another_place_before_the_same_wall(tmp_path):
    # Every detail is found again, but nothing could have taken it there.
    of, length = wall(5), 20
    still = view(of), view(of, x=30)
    mixed = [cv2.addWeighted(still[0], 1 - (n + 1) / 21, still[1], (n + 1) / 21, 0) for n in range(length)]
    table = found(tmp_path, [still[0]] * 60 + mixed + [still[1]] * 60)
    assert table["transition"].tolist() == ["start", "fade"]
    assert table["start_frame"][1] == pytest.approx(70, abs=2)


def test_a_dissolve_to_other_people_before_the_same_wall(tmp_path):
    # More than half of the details stay where they are.
    of, length = wall(5), 20
    first, second = (
        with_person(with_person(view(of), 0.2, 0.7, seed=a), 0.8, 0.7, seed=b) for a, b in ((21, 22), (23, 24))
    )
    assert shots.share_found_again(*(cv2.cvtColor(p, cv2.COLOR_BGR2GRAY) for p in (first, second)), 4) > 0.45
    mixed = [cv2.addWeighted(first, 1 - (n + 1) / 21, second, (n + 1) / 21, 0) for n in range(length)]
    table = found(tmp_path, [first] * 60 + mixed + [second] * 60)
    assert table["transition"].tolist() == ["start", "fade"]
    assert table["start_frame"][1] == pytest.approx(70, abs=2)


@pytest.mark.parametrize("black", [0, 6])
def test_a_fade_through_black_is_one_boundary(tmp_path, black):
    first, second = scene(7, 70), scene(8, 70)
    down = [(p * (1 - (n + 1) / 15)).astype(np.uint8) for n, p in enumerate(first[55:])]
    up = [(p * (n / 15)).astype(np.uint8) for n, p in enumerate(second[:15])]
    table = found(tmp_path, first[:55] + down + [np.zeros_like(first[0])] * black + up + second[15:])
    assert table["transition"].tolist() == ["start", "fade"]
    assert table["start_frame"][1] == pytest.approx(70 + black / 2, abs=3)


def dipped(pictures: list[np.ndarray], middle: int, level: int, frames: int = 4, most: float = 1.0) -> list[np.ndarray]:
    """Return pictures that turn to a grey level towards a frame, up to `most` of the way, and back, in so many frames each."""
    parts = [most * max(0.0, 1 - abs(n - middle) / frames) for n in range(len(pictures))]
    return [
        np.clip(p * (1 - part) + level * part, 0, 255).astype(np.uint8) for p, part in zip(pictures, parts, strict=True)
    ]


@pytest.mark.parametrize(("level", "frames", "most"), [(255, 4, 1.0), (255, 8, 0.9), (0, 3, 1.0)])
def test_a_short_dip_to_white_or_black_between_two_scenes_is_one_boundary(tmp_path, level, frames, most):
    table = found(tmp_path, dipped(scene(7, 60) + scene(8, 60), 60, level, frames, most))
    assert table["transition"].tolist() == ["start", "fade"]
    assert table["start_frame"][1] == pytest.approx(60, abs=1)
    assert table["clear_end_frame"][0] == pytest.approx(60 - frames, abs=2)
    assert table["clear_start_frame"][1] == pytest.approx(60 + frames, abs=2)


@pytest.mark.parametrize("frames", [4, 8])
def test_a_flash_while_the_camera_moves_is_no_boundary(tmp_path, frames):
    assert len(found(tmp_path, dipped(scene(7, 120, x=lambda n: 2.0 * n), 60, 255, frames))) == 1


def faint(pictures: list[np.ndarray]) -> list[np.ndarray]:
    """Return pictures of half the contrast."""
    return [(p // 2 + 64).astype(np.uint8) for p in pictures]


@pytest.mark.parametrize("frames", [3, 6, 10])
def test_a_cut_to_less_contrast_before_a_flash_stands(tmp_path, frames):
    pictures = scene(7, 60) + faint(scene(8, frames + 62))
    pictures[60 + frames : 62 + frames] = [np.full_like(pictures[0], 255)] * 2
    table = found(tmp_path, pictures)
    assert table[["start_frame", "transition"]].to_numpy().tolist() == [[0, "start"], [60, "cut"]]
    assert table["clear_end_frame"][0] == table["clear_start_frame"][1] == 60


@pytest.mark.parametrize("frames", [2, 5, 8])
def test_a_cut_to_more_contrast_after_a_flash_stands(tmp_path, frames):
    pictures = faint(scene(7, 62 + frames)) + scene(8, 60)
    pictures[60:62] = [np.full_like(pictures[0], 255)] * 2
    table = found(tmp_path, pictures)
    assert table[["start_frame", "transition"]].to_numpy().tolist() == [[0, "start"], [62 + frames, "cut"]]
    assert table["clear_end_frame"][0] == table["clear_start_frame"][1] == 62 + frames


@pytest.mark.parametrize("level", [0, 255])
def test_black_or_white_that_stays_for_some_frames_ends_a_shot(tmp_path, level):
    pictures = scene(7, 120)
    pictures[60:68] = [np.full_like(pictures[0], level)] * 8
    assert found(tmp_path, pictures)["start_frame"].tolist() == [0, 60, 68]


def test_light_that_changes_slowly_is_no_fade(tmp_path):
    pictures = [np.clip(p * (0.6 + 0.4 * min(1, n / 40)), 0, 255).astype(np.uint8) for n, p in enumerate(scene(9, 90))]
    assert len(found(tmp_path, pictures)) == 1


def test_what_is_too_short_belongs_to_the_shot_before(tmp_path):
    pictures = scene(10, 40) + scene(11, 7) + scene(12, 40)
    assert found(tmp_path, pictures)["start_frame"].tolist() == [0, 40, 47]
    table = found(tmp_path, pictures, shots.Settings(min_shot_frames=10))
    assert table["start_frame"].tolist() == [0, 47]
    # No cut lies inside what clips are taken from.
    assert table["clear_end_frame"].tolist() == [40, 87] and table["clear_start_frame"].tolist() == [0, 47]


def test_a_cut_in_the_first_and_the_last_frames_stands(tmp_path):
    table = found(tmp_path, scene(10, 3) + scene(11, 40) + scene(12, 3))
    assert table["start_frame"].tolist() == [0, 3, 43]


def test_one_frame_black_frames_portrait_and_nothing(tmp_path):
    assert found(tmp_path, [view(wall(0))])["end_frame"].tolist() == [1]
    assert len(found(tmp_path, [np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * 30)) == 1
    tall = [view(wall(s), size=(180, 320)) for s in (0, 1) for _ in range(30)]
    assert found(tmp_path, tall)["start_frame"].tolist() == [0, 30]
    tiny = [view(wall(s), size=(16, 8)) for s in (0, 1) for _ in range(30)]
    assert found(tmp_path, tiny)["end_frame"].iloc[-1] == 60
    (tmp_path / "none.mp4").touch()
    assert len(shots.detect(tmp_path / "none.mp4", SETTINGS)) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "edges"),
    [
        # Seen by eye, at 25 frames a second.
        ("shot_cuts_2997fps.mp4", [0, 17, 68, 176]),
        ("debate_both.avi", [0, 147]),
        ("debate_left_first.avi", [0]),
        ("crowd_silent.mp4", [0]),
        ("one_talker_2213fps.mp4", [0]),
        ("no_audio_track.mp4", [0]),
    ],
)
def test_real_clips(shared, tmp_path, name, edges):
    table = ingested_shots(shared / "data/clips" / name, tmp_path)
    assert np.allclose(table["start_frame"], edges, atol=1)
    assert len(table) == len(edges)
    assert "jump_cut" not in set(table["transition"])


def ingested_shots(source: Path, tmp_path: Path) -> pd.DataFrame:
    from talking.video import ingest

    ingest.ingest(source, tmp_path / "v.mp4", tmp_path / "v.wav", tmp_path / "v.json", ingest.Settings())
    return shots.detect(tmp_path / "v.mp4", SETTINGS)


@pytest.mark.slow
def test_jump_cuts_of_a_real_vlog(shared, tmp_path):
    # Captions, stickers and inserted pictures appear all the time; at 107 a laptop goes, too.
    table = ingested_shots(shared / "data/real/vlog_zh.mp4", tmp_path)
    assert table["start_frame"].tolist() == [0, 107, 275, 550]
    assert table["transition"].tolist() == ["start", "cut", "jump_cut", "jump_cut"]


@pytest.mark.slow
def test_time_cut_out_of_a_real_conversation(shared, tmp_path):
    from talking.video import ingest

    source = shared / "data/real/two_in_turn.mp4"
    ingest.ingest(source, tmp_path / "v.mp4", tmp_path / "v.wav", tmp_path / "v.json", ingest.Settings())
    pictures = list(media.frames(tmp_path / "v.mp4", pixel_format="rgb24"))
    encoding.encode(tmp_path / "cut.mp4", pictures[:60] + pictures[100:], crf=22)
    table = shots.detect(tmp_path / "cut.mp4", SETTINGS)
    assert table[["start_frame", "transition"]].to_numpy().tolist() == [[0, "start"], [60, "jump_cut"]]


def talking(of: np.ndarray, frames: range) -> list[np.ndarray]:
    """Return pictures of somebody before a wall who moves to and fro, at given frames of the scene."""
    return [with_person(view(of), 0.5 + 0.06 * np.sin(n / 40), 0.9) for n in frames]


def test_time_cut_out_before_the_same_wall_is_a_jump_cut(tmp_path):
    of = wall(13)
    table = found(tmp_path, talking(of, range(40)) + talking(of, range(100, 140)))
    assert table["start_frame"].tolist() == [0, 40]
    assert table["transition"].tolist() == ["start", "jump_cut"]


def test_captions_and_pictures_laid_over_are_no_jump_cuts(tmp_path):
    pictures = talking(wall(13), range(120))
    for n, picture in enumerate(pictures):
        if 30 <= n < 60:
            cv2.putText(picture, "a line of writing", (30, 160), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (255, 255, 255), 2)
        elif 60 <= n < 90:
            picture[100:, 60:260] = view(wall(14))[:80, :200]
    assert len(found(tmp_path, pictures)) == 1
