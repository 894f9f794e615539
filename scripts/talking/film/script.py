"""Who says what when, and who is in which shot: planned from the options and a seed, before anything is drawn."""

import itertools
import math
from dataclasses import dataclass, field

import numpy as np

from talking.core.errors import InputError
from talking.film import voices
from talking.film.lines import ANSWERS, MURMURS, OFFSCREEN, Lines

FRAMINGS = {"wide": 0.155, "medium": 0.235, "close": 0.36, "tight": 0.56, "small": 0.065}
HARD = {
    "mimic": "a listener's lips move with other words while somebody else speaks",
    "mimic_same": "a listener's lips move with the talker's own words",
    "offscreen": "a voice from off screen while nobody on screen speaks",
    "bystander": "a chewing person in the background",
    "leaves": "a person walks out of the picture",
    "turns_away": "a person turns round and shows the back of the head",
    "recut": "a cut to a new framing of the same people",
    "short_shot": "a shot shorter than 5 s",
    "silence": "nobody speaks",
    "silent_lips": "lips move as in speech while nobody speaks",
    "chewing": "a listener chews",
    "fade": "the shot begins with a dissolve",
    "camera": "the camera pans",
    "cross": "two people cross",
    "small": "small faces",
    "onlooker": "a silent person in the background, far out of focus",
    "split": "a split screen, one person a window; one gestures beyond the edge",
    "hands": "a hand before a face for a while",
    "microphone": "a hand with a microphone before a mouth",
    "arms": "two neighbours' arms cross",
    "facing": "people seen from the side who look at each other",
    "portrait": "a framed photograph of a face on the wall",
    "wall_text": "large writing on the wall behind the heads",
    "dim": "dim light",
    "short_answers": "one talks, the other only answers with a word",
}
# Those that `directing` stages.
HARDER = {"hands", "microphone", "arms", "facing", "portrait", "wall_text", "dim", "short_answers"}
_CASES = "|".join(HARD)
SHOT_PATTERN = rf"^[0-9,]*:[0-9]+(\.[0-9]+)?(:({'|'.join(FRAMINGS)})?(:(({_CASES})(,({_CASES}))*)?)?)?$"


@dataclass
class Shot:
    """One shot: its people (by their number in the cast, from 0), where it lies in seconds, how it is framed, what is hard in it."""

    people: list[int]
    start_s: float
    end_s: float
    framing: str
    hard: list[str] = field(default_factory=list)


@dataclass
class Utterance:
    """One sentence of one person; if not `heard` it moves the lips only. `lips` is whose lips it moves, None for nobody's."""

    person: str
    start_s: float
    speech: voices.Speech
    lips: str | None
    heard: bool = True

    @property
    def end_s(self) -> float:
        """Return when the sentence is over."""
        return self.start_s + self.speech.seconds


def plan_shots(settings, rng: np.random.Generator) -> list[Shot]:
    """Return the shots one after the other: those the settings list, or random ones that use every hard case once.

    Raises InputError for a shot that cannot be read.
    """
    if settings.shots:
        shots, clock = [], 0.0
        for text in settings.shots:
            shot = _read_shot(text, settings.people, clock)
            clock = shot.end_s
            shots.append(shot)
        return shots
    return _random_shots(settings, rng)


def _read_shot(text: str, people: int, clock: float) -> Shot:
    """Read "1,2:8:medium:mimic,fade": people by their number from 1, seconds, framing, hard cases (the last two may be left out)."""
    parts = [*text.split(":"), "", ""][:4]
    try:
        who = [int(number) - 1 for number in parts[0].split(",") if number]
        seconds = float(parts[1])
    except ValueError:
        raise InputError(
            f'The shot "{text}" is not written as PEOPLE:SECONDS:FRAMING:CASES, such as 1,2:8:medium:mimic.'
        ) from None
    framing, hard = parts[2] or "medium", [case for case in parts[3].split(",") if case]
    if not all(0 <= number < people for number in who) or len(set(who)) < len(who):
        raise InputError(f'The shot "{text}" names a person who is not there; people are numbered from 1 to {people}.')
    if framing not in FRAMINGS:
        raise InputError(f'The shot "{text}" has the framing "{framing}"; choose one of {", ".join(FRAMINGS)}.')
    check_hard(hard)
    if "cross" in hard and len(who) < 2:
        raise InputError(f'In the shot "{text}" nobody can cross; put two people into it.')
    if len(who) < 2 and (pair := sorted({"arms", "facing", "short_answers"} & set(hard))):
        raise InputError(f'The shot "{text}" has one person, but {pair[0]} needs two; put two people into it.')
    if not seconds > 0:
        raise InputError(f'The shot "{text}" has no length; give it some seconds.')
    return Shot(who, clock, clock + seconds, framing, hard)


def check_hard(cases: list[str]) -> None:
    """Raise InputError if one of the hard cases is unknown."""
    for case in cases:
        if case not in HARD:
            raise InputError(f'"{case}" is not a hard case; choose from {", ".join(HARD)}.')


def _random_shots(settings, rng: np.random.Generator) -> list[Shot]:
    if "cross" in settings.hard and settings.people < 2:
        raise InputError("The hard case cross needs two people; raise people.")
    everybody = list(range(settings.people))
    count = max(len(settings.hard), round(settings.seconds / settings.shot_seconds), 1)
    cases = [[case] for case in settings.hard] + [[] for _ in range(count - len(settings.hard))]
    # An ordinary shot comes first where there is one.
    order = [*range(len(settings.hard), count), *range(len(settings.hard))]
    if len(order) > 2:
        order[1:] = rng.permutation(order[1:]).tolist()
    lengths = np.array([rng.uniform(0.75, 1.25) * (0.4 if "short_shot" in cases[i] else 1) for i in order])
    lengths *= settings.seconds / lengths.sum()
    shots: list[Shot] = []
    clock = 0.0
    for position, (index, length) in enumerate(zip(order, lengths, strict=True)):
        hard = cases[index]
        sizes = [n for n in (1, 2, 3, 4) if n <= settings.people]
        weights = np.array([0.18, 0.5, 0.22, 0.1][: len(sizes)])
        size = settings.people if position == 0 else int(rng.choice(sizes, p=weights / weights.sum()))
        needs = {
            "mimic": 2,
            "mimic_same": 2,
            "cross": 2,
            "leaves": 2,
            "turns_away": 2,
            "chewing": 2,
            "bystander": 2,
            "silence": 2,
            **dict.fromkeys(("onlooker", "split", "arms", "facing", "short_answers"), 2),
        }
        size = min(max([size, *(needs.get(case, 1) for case in hard)]), settings.people)
        people = sorted(rng.choice(everybody, size, replace=False).tolist())
        choices = {1: ["close", "medium"], 2: ["medium", "wide"], 3: ["medium", "wide"], 4: ["wide"]}[size]
        framing = str(rng.choice(choices)) if position else choices[0]
        if "recut" in hard and shots:
            people = shots[-1].people
            framing = "wide" if shots[-1].framing != "wide" else "medium"
        elif shots and people == shots[-1].people and framing == shots[-1].framing:
            framing = next((f for f in choices if f != framing), "medium")
        if {"cross", "leaves", "turns_away", "camera", "bystander", *_NEED_ROOM} & set(hard) and framing == "close":
            framing = "medium"
        if "small" in hard:
            framing = "small"
        shots.append(Shot(people, clock, clock + float(length), framing, hard))
        clock += float(length)
    return shots


def write_dialogue(
    settings, shots: list[Shot], cast: list[str], voice_of: dict[str, str], rng: np.random.Generator
) -> list[Utterance]:
    """Return the utterances in order: people of a shot talk in turns, now and then over each other; hard cases as labelled."""
    lines = Lines(rng)
    said: list[Utterance] = []
    clock, last = 0.35, None
    for index, shot in enumerate(shots):
        clock = max(clock, shot.start_s + 0.25)
        end = shot.end_s - 0.15
        present = [cast[number] for number in shot.people]
        talkers = _talkers(shot, present)
        plain_ahead = index + 1 < len(shots) and not set(shots[index + 1].hard) & _NEEDS_ITS_OWN_SOUND
        may_cross = plain_ahead and not set(shot.hard) & _NEEDS_ITS_OWN_SOUND
        while talkers and clock < end:
            speaker = _next_speaker(talkers, last, rng)
            limit = shots[index + 1].end_s - 1 if may_cross and rng.random() < 0.5 else end
            turn = _turn(lines, speaker, voice_of, clock, limit, settings.turn_seconds, rng)
            if not turn:
                break
            said += turn
            clock, last = turn[-1].end_s, speaker
            if "short_answers" in shot.hard:
                clock = _answer(said, present[-1], voice_of, clock, end, rng)
            if len(talkers) > 1:
                clock = _overlap(said, turn, talkers, voice_of, settings.overlap, clock, end, rng)
            clock += float(np.clip(rng.normal(0.3, 0.12), 0.12, 0.7))
        said += _fooling(shot, present, said, voice_of, lines, rng)
    return sorted(said, key=lambda u: (u.start_s, u.person))


_NEEDS_ITS_OWN_SOUND = {
    *("mimic", "mimic_same", "offscreen", "silence", "silent_lips", "chewing", "leaves", "turns_away", "short_answers")
}
_NEED_ROOM = {"onlooker", "split", "hands", "microphone", "arms", "portrait"}


def _talkers(shot: Shot, present: list[str]) -> list[str]:
    if {"silence", "silent_lips"} & set(shot.hard):
        return []
    if "offscreen" in shot.hard:
        return [OFFSCREEN]
    if {"mimic", "mimic_same", "chewing", "leaves", "turns_away", "short_answers"} & set(shot.hard):
        # The last person of the shot is the one of the hard case.
        return present[:-1] or [OFFSCREEN]
    return present


def _next_speaker(talkers: list[str], last: str | None, rng: np.random.Generator) -> str:
    others = [person for person in talkers if person != last] or talkers
    return str(rng.choice(others))


def _turn(
    lines: Lines, speaker: str, voice_of, clock: float, limit: float, turn_seconds: float, rng
) -> list[Utterance]:
    """Return one speaker's next lines, as many as make a turn of about `turn_seconds`."""
    wanted = turn_seconds * float(np.exp(rng.normal(0, 0.3)))
    turn: list[Utterance] = []
    while limit - clock > 0.5:
        speech = lines.fitting(speaker, voice_of[speaker], limit - clock)
        if speech is None:
            break
        turn.append(Utterance(speaker, clock, speech, None if speaker == OFFSCREEN else speaker))
        clock = turn[-1].end_s + 0.25
        if clock - turn[0].start_s > 0.75 * wanted:
            break
    return turn


def _overlap(said, turn, talkers, voice_of, share: float, clock: float, end: float, rng) -> float:
    """Bring the fraction of overlapping speech towards `share`: a listener murmurs under the turn, or the next turn comes early."""
    spoken = sum(u.speech.seconds for u in said)
    both = sum(max(0.0, min(a.end_s, b.end_s) - b.start_s) for a, b in _neighbours(said))
    if both >= share * spoken:
        return clock
    speaker = turn[-1].person
    if rng.random() < 0.5 and turn[-1].speech.seconds > 2:
        listener = _next_speaker(talkers, speaker, rng)
        speech = voices.say(voice_of[listener], str(rng.choice(MURMURS)))
        start = turn[-1].start_s + float(rng.uniform(0.3, 0.8)) * (turn[-1].speech.seconds - speech.seconds)
        said.append(Utterance(listener, start, speech, listener))
        return clock
    early = clock - float(rng.uniform(0.6, 1.4))
    return early if early < end - 1 else clock


def _answer(said: list[Utterance], person: str, voice_of, clock: float, end: float, rng) -> float:
    """Let somebody answer a turn with a word, if there is time; return when the next turn may begin."""
    speech = voices.say(voice_of[person], str(rng.choice(ANSWERS)))
    start = clock + float(rng.uniform(0.1, 0.3))
    if start + speech.seconds > end:
        return clock
    said.append(Utterance(person, start, speech, person))
    return start + speech.seconds


def _neighbours(said: list[Utterance]):
    ordered = sorted(said, key=lambda u: u.start_s)
    return itertools.pairwise(ordered)


def _fooling(shot: Shot, present: list[str], said, voice_of, lines: Lines, rng) -> list[Utterance]:
    """Return the utterances that are seen but not heard in this shot."""
    if not present:
        return []
    actor = present[-1]
    inside = [u for u in said if u.heard and u.end_s > shot.start_s and u.start_s < shot.end_s]
    if "mimic_same" in shot.hard:
        return [Utterance(u.person, u.start_s, u.speech, actor, heard=False) for u in inside if u.person != actor]
    if not {"mimic", "silent_lips"} & set(shot.hard):
        return []
    clock, made = shot.start_s + 0.5, []
    while clock < shot.end_s - 1:
        speech = lines.fitting(actor, voice_of[actor], shot.end_s - 0.3 - clock)
        if speech is None:
            break
        made.append(Utterance(actor, clock, speech, actor, heard=False))
        clock = made[-1].end_s + float(rng.uniform(0.2, 0.5))
    return made


def frames_between(start_s: float, end_s: float, fps: float, total: int) -> tuple[int, int]:
    """Return the frames whose times lie in [start_s, end_s), at most `total`."""
    first, last = math.ceil(start_s * fps - 1e-6), math.ceil(end_s * fps - 1e-6)
    return max(0, min(first, total)), max(0, min(last, total))
