"""Hard cases of real videos, staged in a shot."""

import dataclasses
import itertools

import cv2
import numpy as np

from talking.film import photographs, props, side

# How bright a dim shot is in red, green and blue, and the gamma that keeps lamps bright.
_DIM, _GAMMA = (0.19, 0.17, 0.20), 1.3
_DOWN, _UP = (0.18, 0.82), (0.26, 0.74)
# Two people who face each other have faces of at least this fraction of the picture's height.
_FACING = 0.3


@dataclasses.dataclass
class Pane:
    """One window of a split screen: its place (4,) in px and the backdrop that fills it."""

    box: np.ndarray
    backdrop: np.ndarray


def direct(case: str, stage, settings, cast: list[str], face: int, fps: float, rng) -> tuple[int, int, list[str]]:
    """Stage a hard case; return the frames of the video that it covers and the people in it.

    The last person of the shot is the one who does something; an empty shot stays empty.
    """
    start, end, actors = stage.start, stage.end, stage.actors
    last = actors[-1] if actors else None
    times = np.arange(end - start) / fps
    if case == "dim":
        stage.dimmed = True
    if case == "wall_text":
        props.write_on_wall(stage.backdrop, 0.32 * face)
    if case == "portrait":
        return start, end, [_portrait(stage, settings, cast, face, rng)]
    if last is None or case not in ("hands", "microphone", "arms", "facing", "short_answers"):
        return start, end, []
    if case == "hands":
        begin, finish = (round(share * (end - start)) for share in (_DOWN[0], _DOWN[1]))
        stage.arms.append(_hand_before_face(last, settings, face, times))
        return start + begin, start + finish, [last.person]
    if case == "microphone":
        mouth = np.stack([last.x + last.motion.sway[start:end] * face + 0.12 * face, last.y + 0.38 * face], axis=-1)
        way = np.tile([-0.45, -0.89], (len(times), 1))
        stage.arms.append(props.raised(last.person, face, mouth, way, is_right=True, holds=True))
    if case == "arms" and len(actors) > 1:
        stage.arms += _crossing(actors[-2], last, face, times)
        return start, end, [actors[-2].person, last.person]
    if case == "facing":
        return start, end, _facing(stage, settings, face)
    return start, end, [last.person]


def split(stage, settings, face: int, backdrop, fps: float, rng) -> tuple[int, int, list[str]]:
    """Make a split screen of a stage, one window a person; `backdrop(width, height)` gives what fills one.

    The windows are parted by a white line, or stand before a dark backdrop. The last person gestures beyond the window's edge.
    """
    width, height, count = settings.width, settings.height, len(stage.actors)
    inset = bool(rng.random() < 0.5) and count > 1
    gap, margin = max(2, round((0.012 if inset else 0.005) * width)), round(0.06 * width) if inset else 0
    colour = (20, 22, 28) if inset else (235, 235, 235)
    stage.backdrop = np.full((height, width, 3), colour, np.uint8)
    if inset:
        # The backdrop of a studio: slanted stripes.
        for x in range(-height, width, max(8, width // 20)):
            cv2.line(stage.backdrop, (x, height), (x + height // 2, 0), (34, 38, 52), max(1, width // 160), cv2.LINE_AA)
    wide = (width - 2 * margin - gap * (count - 1)) / max(count, 1)
    for number, actor in enumerate(stage.actors):
        left, right = (round(margin + number * (wide + gap) + at) for at in (0, wide))
        stage.panes.append(Pane(np.array([left, 0, right, height]), backdrop(right - left, height)))
        actor.x = np.full(len(actor.x), (left + right) / 2)
        actor.gaze = np.zeros(len(actor.gaze))
    if stage.actors:
        last = stage.actors[-1]
        times = np.arange(stage.end - stage.start) / fps
        elbow = np.stack([last.x - 1.2 * face, last.y + 2.3 * face], axis=-1)
        angle = 0.35 + 0.25 * np.sin(2 * np.pi * 0.5 * times)
        way = np.stack([-np.sin(angle), -np.cos(angle)], axis=-1)
        stage.arms.append(props.raised(last.person, face, elbow, way, is_right=False, bent=True))
    return stage.start, stage.end, [actor.person for actor in stage.actors]


def dimmed(picture: np.ndarray) -> np.ndarray:
    """Return a picture (h, w, 3) in dim, bluish light."""
    levels = 255 * (np.arange(256) / 255) ** _GAMMA
    return cv2.LUT(picture, np.stack([levels * share for share in _DIM], axis=-1).round().astype(np.uint8)[None])


def _hand_before_face(actor, settings, face: int, times: np.ndarray) -> props.Arm:
    """Return an arm that comes up, stays before mouth and nose and goes down again."""
    share = (times + (times[1] if len(times) > 1 else 1) / 2) / max(times[-1], 1e-6)
    up = np.interp(share, [_DOWN[0], _UP[0], _UP[1], _DOWN[1]], [0.0, 1.0, 1.0, 0.0])
    up = up * up * (3 - 2 * up)
    away = settings.height - actor.y + face
    x = actor.x + 0.08 * face * np.sin(2 * np.pi * 0.7 * times)
    y = actor.y + 0.22 * face + (1 - up) * away
    way = np.tile([-0.4, -0.92], (len(times), 1))
    return props.raised(actor.person, face, np.stack([x, y], axis=-1), way, is_right=True)


def _crossing(one, other, face: int, times: np.ndarray) -> list[props.Arm]:
    """Bring two neighbours together and return the forearm of each that reaches to where the other sits."""
    middle = (one.x + other.x) / 2
    sign = np.where(one.x < other.x, 1.0, -1.0)
    one.x, other.x = middle - sign * 1.65 * face, middle + sign * 1.65 * face
    arms = []
    for actor, neighbour, low, phase in ((one, other, 1.3, 0.0), (other, one, 1.75, 1.5)):
        toward = np.sign(neighbour.x - actor.x)
        elbow = np.stack([actor.x + toward * 1.2 * face, actor.y + 2.25 * face], axis=-1)
        lifted = actor.y + (low + 0.2 * np.sin(2 * np.pi * 0.4 * times + phase)) * face
        target = np.stack([neighbour.x - toward * 0.2 * face, lifted], axis=-1)
        arms.append(props.raised(actor.person, face, elbow, target - elbow, is_right=bool(toward[0] > 0), bent=True))
    return arms


def _facing(stage, settings, face: int) -> list[str]:
    """Turn people to the side, those on the left to the right and the other way round; return who they are."""
    width, height, count = settings.width, settings.height, len(stage.actors)
    face = max(face, min(round(_FACING * height), round(width / (2.1 * count))))
    middle = width / 2
    for actor in stage.actors:
        kind = "right" if actor.x[0] < middle else "left"
        actor.doll = side.SidePuppet(actor.person, kind, face, below=height)
        # These pictures end at the chest, which is at the picture's lower edge.
        actor.y = np.full(len(actor.y), float(height - actor.doll.size[1] + actor.doll.centre[1] + 0.02 * face))
        actor.gaze = np.zeros(len(actor.gaze))
    return [actor.person for actor in stage.actors]


def _portrait(stage, settings, cast: list[str], face: int, rng) -> str:
    """Hang the picture of a stranger between people or beside them; return who it is."""
    stranger = str(rng.choice([person for person in photographs.PEOPLE if person not in cast]))
    xs = sorted([-0.6 * face, *(float(actor.x[0]) for actor in stage.actors), settings.width + 0.6 * face])
    left, right = max(itertools.pairwise(xs), key=lambda gap: gap[1] - gap[0])
    y = (
        float(np.mean([actor.y[0] for actor in stage.actors])) if stage.actors else 0.4 * settings.height
    ) - 0.35 * face
    height = min(0.75 * face, 0.32 * (right - left))
    off = (stage.backdrop.shape[1] - settings.width) / 2
    props.hang_portrait(stage.backdrop, stranger, (left + right) / 2 + off, max(y, 1.4 * height), height)
    return stranger
