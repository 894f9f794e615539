"""Stages the shots: where each person stands and how they move, what is behind them; draws any frame by its number."""

import dataclasses
import functools
import itertools
from dataclasses import dataclass, field

import cv2
import numpy as np
from scipy import ndimage

from talking.core import boxes
from talking.core.signals import smooth_step
from talking.film import directing, moving, photographs, props, puppet
from talking.film.script import FRAMINGS, HARDER, Shot, Utterance, frames_between

_FADE_S = 0.8


@dataclass
class Actor:
    """One person in one shot: their puppet and, a value a frame of the shot, where their face's centre is (px), which way they
    look (rad) and, if they ever turn, how far they have turned away (rad)."""

    person: str
    doll: puppet.Puppet
    x: np.ndarray
    y: np.ndarray
    motion: moving.Motion
    gaze: np.ndarray
    turned: np.ndarray | None = None
    back: puppet.Puppet | None = None


@dataclass
class Stage:
    """One shot ready to be drawn: frames [start, end) of the video, people back to front, the backdrop and where it is seen.

    Before everybody are `arms`; a split screen has a pane for each person. `strangers` are not of the cast.
    """

    shot: Shot
    start: int
    end: int
    actors: list[Actor]
    backdrop: np.ndarray
    pan: np.ndarray
    counter: np.ndarray | None = None
    fade: int = 0
    hard: list[tuple[str, int, int, list[str]]] = field(default_factory=list)
    arms: list[props.Arm] = field(default_factory=list)
    panes: list[directing.Pane] = field(default_factory=list)
    dimmed: bool = False
    strangers: list[str] = field(default_factory=list)


def stage_shots(
    settings, shots: list[Shot], cast: list[str], said: list[Utterance], fps: float, frames: int
) -> list[Stage]:
    """Return the stages of all shots, with a puppet for each person and size that is seen."""
    rng = np.random.default_rng([settings.seed, 2])
    motions = {
        person: moving.of_person(person, said, fps, frames, np.random.default_rng([settings.seed, 3, i]))
        for i, person in enumerate(cast)
    }
    place = _place(photographs.PEOPLE[int(rng.integers(len(photographs.PEOPLE)))], max(settings.width, settings.height))
    dolls = functools.cache(functools.partial(puppet.Puppet, below=settings.height))
    stages: list[Stage] = []
    for shot in shots:
        start, end = frames_between(shot.start_s, shot.end_s, fps, frames)
        if start == end:
            continue
        stages.append(_stage(settings, shot, start, end, cast, motions, place, dolls, fps, rng))
    return stages


def _stage(settings, shot: Shot, start: int, end: int, cast, motions, place, dolls, fps: float, rng) -> Stage:
    width, height, length = settings.width, settings.height, end - start
    present = [cast[number] for number in shot.people]
    kind = "portrait" if shot.framing == "tight" else "posture"
    face = FRAMINGS[shot.framing] * height * float(rng.choice([0.95, 1.05]))
    face = max(round(min(face, width / (2.1 * max(len(present), 1)))), 12)
    middle = height * {"tight": 0.5, "close": 0.46, "small": 0.48}.get(shot.framing, 0.36)
    spacing = min(0.97 * width / max(len(present), 1), float(rng.uniform(2.9, 4.2)) * face)
    actors = []
    for position, person in enumerate(present):
        x = width / 2 + (position - (len(present) - 1) / 2) * spacing + float(rng.uniform(-0.12, 0.12)) * face
        y = middle + float(rng.uniform(-0.10, 0.10)) * face
        toward = float(np.sign(width / 2 - x)) * 0.10 if len(present) > 1 else 0.0
        actors.append(
            Actor(
                person,
                dolls(person, kind, face),
                *(np.full(length, v) for v in (x, y)),
                motions[person],
                np.full(length, toward),
            )
        )
    stage = Stage(shot, start, end, actors, _backdrop(place, settings, shot.framing, rng), np.zeros(length))
    for case in (case for case in shot.hard if case != "split"):
        stage.hard.append((case, *_direct(case, stage, settings, cast, motions, dolls, face, fps, rng)))
    if "split" in shot.hard:

        def filled(width: int, height: int) -> np.ndarray:
            pane = dataclasses.replace(settings, width=width // 2 * 2, height=height)
            part = _backdrop(place, pane, shot.framing, rng)
            left = (part.shape[1] - width) // 2
            return np.ascontiguousarray(part[:, left : left + width])

        stage.hard.append(("split", *directing.split(stage, settings, face, filled, fps, rng)))
        return stage
    stage.counter = _counter(settings, stage.actors)
    return stage


def _direct(
    case: str, stage: Stage, settings, cast, motions, dolls, face: int, fps: float, rng
) -> tuple[int, int, list[str]]:
    """Stage a visible hard case; return the frames of the video that it covers and the people in it."""
    start, end, actors, width = stage.start, stage.end, stage.actors, settings.width
    length = end - start
    last = actors[-1] if actors else None
    times = np.arange(length) / fps
    if case == "fade":
        stage.fade = round(_FADE_S / 2 * fps)
        return max(start - stage.fade, 0), min(start + stage.fade, end), []
    if case == "camera":
        reach = (0.13 if len(actors) < 3 else 0.07) * width * float(rng.choice([-1, 1]))
        stage.pan += -reach * np.cos(np.pi * np.arange(length) / max(length - 1, 1))
        for actor in actors:
            actor.x -= stage.pan
    if case in ("bystander", "onlooker"):
        actors.insert(0, _bystander(stage, settings, cast, dolls, face, fps, rng, chews=case == "bystander"))
        stage.strangers.append(actors[0].person)
        return start, end, [actors[0].person]
    if case in HARDER:
        return directing.direct(case, stage, settings, cast, face, fps, rng)
    if last is None or case not in ("chewing", "leaves", "turns_away", "cross", "mimic", "mimic_same", "silent_lips"):
        return start, end, []
    if case == "chewing":
        last.motion.opening[start:end], last.motion.rounding[start:end] = moving.chewing(times, rng)
    if case == "leaves":
        side = 1 if last.x[0] >= width / 2 else -1
        begin = 0.4 * length
        gone = (width if side > 0 else 0) + side * 1.8 * face
        walked = smooth_step((np.arange(length) - begin) / (2.2 * fps))
        _walk(last, walked, gone - last.x, times, side, face)
        return start + int(begin), end, [last.person]
    if case == "turns_away":
        begin, back = 0.3 * length, 0.8 * length
        steps = np.arange(length)
        last.back = dolls(last.person, "back", face)
        last.turned = np.pi * (smooth_step((steps - begin) / (0.6 * fps)) - smooth_step((steps - back) / (0.6 * fps)))
        return start + int(begin), min(start + int(back + 0.6 * fps), end), [last.person]
    if case == "cross" and len(actors) > 1:
        other = actors[-2]
        walked = smooth_step((np.arange(length) - 0.3 * length) / max(0.4 * length, 1))
        way = other.x - last.x
        side = float(np.sign(way[0]))
        _walk(last, walked, way, times, side, face)
        _walk(other, walked, -way, times, -side, face)
        last.y += 0.12 * face
        return start + int(0.3 * length), start + int(0.7 * length), [other.person, last.person]
    return start, end, [last.person]


def _walk(actor: Actor, walked: np.ndarray, way: np.ndarray, times: np.ndarray, side: float, face: int) -> None:
    """Move an actor along `way` (px) as far as `walked` (0-1) says, with a bob at each step, looking where they go."""
    moving = np.clip(np.gradient(walked) * 60, 0, 1) if len(walked) > 1 else np.zeros(1)
    actor.x += walked * way
    actor.y += 0.03 * face * moving * np.sin(2 * np.pi * 1.8 * times)
    actor.gaze += side * 0.2 * ndimage.gaussian_filter1d(moving, 3)


def _bystander(stage: Stage, settings, cast, dolls, face: int, fps: float, rng, chews: bool) -> Actor:
    """Return somebody who is not of the cast, further away in the widest gap between the others: chewing, or far out of focus."""
    length, width = stage.end - stage.start, settings.width
    stranger = str(rng.choice([person for person in photographs.PEOPLE if person not in cast]))
    edges = sorted([0.3 * face, *(float(a.x[0]) for a in stage.actors), width - 0.3 * face])
    left, right = max(itertools.pairwise(edges), key=lambda gap: gap[1] - gap[0])
    y = float(np.mean([a.y[0] for a in stage.actors])) if stage.actors else 0.4 * settings.height
    motion = moving.of_person(stranger, [], fps, stage.end + 1, rng)
    times = np.arange(stage.end + 1) / fps
    if chews:
        motion.opening[:], motion.rounding[:] = moving.chewing(times, rng)
    small = max(round((0.62 if chews else 0.5) * face), 12)
    doll = dolls(stranger, "posture", small, blur=(0.012 if chews else 0.06) * small)
    return Actor(stranger, doll, (left + right) / 2 - stage.pan, np.full(length, y), motion, np.zeros(length))


class Film:
    """A synthetic video that is drawn frame by frame, in any order, and knows what each frame shows."""

    def __init__(self, settings, stages: list[Stage]) -> None:
        """Prepare the grain; `stages` lie one after the other without a gap."""
        self._settings, self._stages = settings, stages
        self._of_frame = np.concatenate([np.full(s.end - s.start, i) for i, s in enumerate(stages)])
        rng = np.random.default_rng([settings.seed, 4])
        size = (settings.height + 64, settings.width + 64)
        self._grain = (rng.standard_normal(size) * settings.grain).round().astype(np.int16) if settings.grain else None

    def draw(self, frame: int) -> np.ndarray:
        """Return the picture of a frame, RGB."""
        index = int(self._of_frame[frame])
        picture = self._draw(self._stages[index], frame)
        for other, share in self._dissolve(index, frame):
            picture = cv2.addWeighted(self._draw(self._stages[other], frame), share, picture, 1 - share, 0)
        if self._grain is None:
            return picture
        dy, dx = np.random.default_rng([self._settings.seed, 5, frame]).integers(0, 64, 2)
        height, width = picture.shape[:2]
        grain = self._grain[dy : dy + height, dx : dx + width]
        return cv2.add(picture, cv2.merge([grain] * 3), dtype=cv2.CV_8U)

    def people(self, frame: int) -> list[tuple[str, np.ndarray, float, float]]:
        """Return who is on screen, back to front: person, face box (4,) unclipped, visible fraction 0-1, lips' opening 0-1."""
        stage = self._stages[int(self._of_frame[frame])]
        seen = []
        for actor in stage.actors:
            pose = _pose(actor, stage, frame)
            box = actor.doll.box(pose)
            pane = self.window(stage, actor.person)
            inside = float(boxes.area(boxes.intersection(box, pane)) / boxes.area(box))
            seen.append([actor.person, box, inside * (abs(pose.turned) < 0.9), pose.opening])
        for nearer in range(len(seen)):
            for further in range(nearer):
                hidden = boxes.area(boxes.intersection(seen[nearer][1], seen[further][1])) / boxes.area(
                    seen[further][1]
                )
                seen[further][2] *= 1 - float(hidden)
        for arm, row in itertools.product(stage.arms, seen):
            if not stage.panes or arm.person == row[0]:
                row[2] *= 1 - arm.covered(row[1], _step(stage, frame))
        return [tuple(row) for row in seen]

    def hands(self, frame: int) -> list[tuple[str, str, np.ndarray]]:
        """Return the raised hands that are at least half in their picture: person, the person's own side, box (4,) in px."""
        stage = self._stages[int(self._of_frame[frame])]
        found = []
        for arm in stage.arms:
            box = arm.hand_box(_step(stage, frame))
            pane = self.window(stage, arm.person)
            if boxes.area(boxes.intersection(box, pane)) >= boxes.area(box) / 2:
                found.append((arm.person, arm.side, box))
        return found

    def window(self, stage: Stage, person: str) -> np.ndarray:
        """Return the part (4,) of the picture in px in which somebody is seen: the whole of it but in a split screen."""
        whole = np.array([0, 0, self._settings.width, self._settings.height])
        shown = zip(stage.actors, stage.panes, strict=False)
        return next((pane.box for actor, pane in shown if actor.person == person), whole)

    def _dissolve(self, index: int, frame: int):
        """Yield the neighbouring shot that is seen through this one in a dissolve, and its weight."""
        stages = self._stages
        here = stages[index]
        if here.fade and index and frame < here.start + here.fade:
            yield index - 1, 0.5 - (frame - here.start + 0.5) / (2 * here.fade)
        if index + 1 < len(stages) and stages[index + 1].fade and frame >= here.end - stages[index + 1].fade:
            yield index + 1, 0.5 - (here.end - frame - 0.5) / (2 * stages[index + 1].fade)

    def _draw(self, stage: Stage, frame: int) -> np.ndarray:
        height, width = self._settings.height, self._settings.width
        step = _step(stage, frame)
        start = stage.pan[step] + (stage.backdrop.shape[1] - width) / 2
        if float(start).is_integer():
            picture = stage.backdrop[:, int(start) : int(start) + width].copy()
        else:
            move = np.array([[1, 0, start], [0, 1, 0]], np.float32)
            picture = cv2.warpAffine(
                stage.backdrop, move, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            )
        if stage.panes:
            self._draw_panes(picture, stage, frame)
            return directing.dimmed(picture) if stage.dimmed else picture
        for actor in stage.actors:
            pose = _pose(actor, stage, frame)
            doll = actor.doll if actor.back is None or pose.turned < np.pi / 2 else actor.back
            doll.draw(picture, pose)
        if stage.counter is not None:
            picture[height - len(stage.counter) :] = stage.counter
        for arm in stage.arms:
            arm.draw(picture, step)
        return directing.dimmed(picture) if stage.dimmed else picture

    def _draw_panes(self, picture: np.ndarray, stage: Stage, frame: int) -> None:
        """Draw the windows of a split screen, each a separate picture, into a picture."""
        for actor, pane in zip(stage.actors, stage.panes, strict=True):
            x1, y1, x2, y2 = pane.box
            part, pose = pane.backdrop.copy(), _pose(actor, stage, frame)
            actor.doll.draw(part, dataclasses.replace(pose, x=pose.x - x1, y=pose.y - y1))
            for arm in stage.arms:
                if arm.person == actor.person:
                    arm.draw(part, _step(stage, frame), x1, y1)
            picture[y1:y2, x1:x2] = part


def _step(stage: Stage, frame: int) -> int:
    return int(np.clip(frame - stage.start, 0, stage.end - stage.start - 1))


def _pose(actor: Actor, stage: Stage, frame: int) -> puppet.Pose:
    step = _step(stage, frame)
    motion, size = actor.motion, actor.doll.height
    frame = int(np.clip(frame, 0, len(motion.yaw) - 1))
    return puppet.Pose(
        x=float(actor.x[step]),
        y=float(actor.y[step]),
        yaw=float(motion.yaw[frame]) + float(actor.gaze[step]),
        pitch=float(motion.pitch[frame]),
        roll=float(motion.roll[frame]),
        sway=float(motion.sway[frame]) * size,
        opening=float(motion.opening[frame]),
        rounding=float(motion.rounding[frame]),
        blink=float(motion.blink[frame]),
        turned=float(actor.turned[step]) if actor.turned is not None else 0.0,
    )


@functools.lru_cache(maxsize=2)
def _place(person: str, size: int) -> np.ndarray:
    """Return a landscape out of focus: what lies left and right of a person in their outdoor picture, side by side."""
    path = photographs.asset(person, "amateur_posture")
    picture = cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_REDUCED_COLOR_4), cv2.COLOR_BGR2RGB)
    height, width = picture.shape[:2]
    sides = [picture[:, : int(0.27 * width)], picture[:, int(0.73 * width) :][:, ::-1]]
    # Mirrored, a side goes on without an edge; the two blend into each other.
    left, right = (np.hstack([side, side[:, ::-1]])[int(0.06 * height) : int(0.62 * height)] for side in sides)
    right = right[:, ::-1]
    wide = left.shape[1] // 4
    share = np.linspace(0, 1, wide)[:, None]
    seam = left[:, -wide:] * (1 - share) + right[:, :wide] * share
    band = np.hstack([left[:, :-wide], seam.astype(np.uint8), right[:, wide:]])
    scale = 1.7 * size / band.shape[1]
    return cv2.resize(band, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)


def _backdrop(place: np.ndarray, settings, framing: str, rng: np.random.Generator) -> np.ndarray:
    """Return the part of the place that a shot shows, wider than the picture so that the camera can pan, blurred."""
    width, height = settings.width, settings.height
    zoom = {"wide": 1.0, "small": 1.0, "medium": 1.25, "close": 1.7, "tight": 2.0}[framing]
    wanted = (int(1.3 * width / 2) * 2, height)
    scale = zoom * max(wanted[0] / place.shape[1], wanted[1] / place.shape[0])
    grown = cv2.resize(place, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    left = int(rng.integers(0, max(grown.shape[1] - wanted[0], 0) + 1))
    top = int(rng.integers(0, max(grown.shape[0] - wanted[1], 0) + 1))
    part = grown[top : top + wanted[1], left : left + wanted[0]]
    part = cv2.resize(part, wanted) if part.shape[:2] != wanted[::-1] else part
    return cv2.GaussianBlur(part, (0, 0), 0.012 * height * zoom)


def _counter(settings, actors: list[Actor]) -> np.ndarray | None:
    """Return the counter in front of people whose pictures end inside the frame, or None if none do."""
    width, height = settings.width, settings.height
    ends = [a.y[0] + a.doll.size[1] - a.doll.centre[1] for a in actors]
    if not ends or min(ends) > height + 2:
        return None
    face = min(a.doll.height for a in actors)
    top = int(min(ends) - 0.4 * face)
    rows = np.linspace(1, 0.75, height - top)[:, None, None]
    grain = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((height - top, width)), (0.8, 60))
    wood = np.array([92, 66, 48], np.float32) * rows + 90 * grain[..., None]
    wood[: max(2, height // 180)] += 45
    return np.clip(wood, 0, 255).astype(np.uint8)
