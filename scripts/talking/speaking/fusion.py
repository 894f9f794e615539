"""One decision per face and frame, from active-speaker scores, voice activity, speaker turns and identities.

Voices (labels of the diarization) are matched to persons over the whole video, as cross-modal diarization does
(Chung et al., Who said that?, 2019); then each frame is decided with faces, voice and turns in view. The weights
are data (`calibration.json`), fitted by `scripts/calibrate_speaking.py`.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy

from talking.core import cli, intervals
from talking.core.signals import moving_mean
from talking.speaking import calibration
from talking.speaking.evidence import LIMIT, best_other, voice_logit
from talking.speech import turns

# Scores of neighbouring frames say the same thing: this many count as one observation.
_CORRELATED_FRAMES = 12
# Largest log odds from the lips of one face in one shot, for and against a voice being its person's:
# lips can move through a whole shot while another's voice is heard.
_MOST_FOR, _MOST_AGAINST = 3.0, 6.0
# Log odds against a person having two voices, less for a voice that is heard for less than this, which may be a piece of the other
# that the diarization took for a new one; and the most that the turns say.
_TWO_VOICES, _SURE_FRAMES = 6.0, 200
_TURN_LIMIT = 2.5
# Two who move their lips under the voice of one: how far the other is taken for a mimic, and not for talking too.
_BOTH_MOVE = 0.4
_ROUNDS = 20
# Scores so near 0 are no evidence; nor are those of unseen lips under a voice, -0.9, and lower ones count as this.
_UNDECIDED, _UNSEEN = 0.5, -1.0
_STEADY_FRAMES = 50
# A person whose lips move for a second under a voice may be one of several who share it.
_MOVED_FRAMES = 25
# Diarization cannot tell the owner of a voice heard for less than a second: it may be anybody whose lips move and who does not talk
# already.
_BRIEF_S, _BRIEF_DOUBT = 1.0, 0.9
# Log odds that a voice belongs to somebody on screen, without evidence against it, rather than off screen.
_ON_SCREEN = 1.0
# A voice has at most this many likely owners on screen, however large the crowd.
_LIKELY_PEOPLE = 3


@dataclass
class Settings:
    """Settings of the fusion: which evidence counts, and how the score becomes a decision."""

    use_voice: bool = cli.setting(True, "nobody speaks where no voice is heard")
    use_turns: bool = cli.setting(True, "match the voices of the diarization to faces over the whole video")
    use_identities: bool = cli.setting(True, "match voices to persons across shots, not to single tracks")
    use_competition: bool = cli.setting(True, "a face is less likely to speak while another one speaks")
    pause_s: float = cli.setting(0.2, "pauses up to this long belong to the speech around them (s)")
    smooth_frames: int = cli.setting(7, "frames that score_smooth averages")
    shortest_frames: int = cli.setting(3, "shorter periods of speaking or silence are merged into their neighbours")


def fuse(
    asd: pd.DataFrame,
    voice: pd.DataFrame,
    spoken: Sequence[turns.Turn],
    person_of: dict[int, int],
    model: str,
    settings: Settings | None = None,
    strangers: Collection[int] = (),
) -> pd.DataFrame:
    """Return the table `speaking`, a row for each row of `asd` and in its order.

    `person_of` is the person of a track, `model` the active-speaker model of the scores, `strangers` are the persons without an
    embedding, who may be somebody of another shot.
    """
    settings = settings or Settings()
    out = asd[["track", "frame"]].copy()
    if out.empty:
        return out.assign(score=0.0, score_smooth=0.0, speaking=False, speaking_confidence=0.0)
    fitted = calibration.load()[model]["fusion"]
    out["score"] = calibration.apply(fitted, features(asd, voice, spoken, person_of, settings, strangers))
    out["score_smooth"] = smoothed(out, settings.smooth_frames, fitted["early_frames"])
    out["speaking"] = False
    for rows in in_order(out):
        said = out["score_smooth"].to_numpy()[rows] > 0
        out.iloc[rows, out.columns.get_loc("speaking")] = intervals.merge_short(said, settings.shortest_frames)
    right = out["score_smooth"] * np.where(out["speaking"], 1, -1)
    out["speaking_confidence"] = scipy.special.expit(right * fitted["confidence"])
    return out


def smoothed(scored: pd.DataFrame, width: int, early_frames: int) -> np.ndarray:
    """Return the scores (n,) of a table track, frame, score averaged over `width` frames of a track.

    What is measured over a window begins early and ends late: `early_frames` are taken back at either end of speech.
    """
    out = np.zeros(len(scored))
    for rows in in_order(scored):
        out[rows] = moving_mean(scored["score"].to_numpy()[rows], width)
        out[rows] = scipy.ndimage.minimum_filter1d(out[rows], 1 + 2 * early_frames)
    return out


def in_order(table: pd.DataFrame) -> Iterator[np.ndarray]:
    """Yield for each track of a table the positions of its rows, in order of frame."""
    for rows in table.groupby("track").indices.values():
        yield rows[np.argsort(table["frame"].to_numpy()[rows], kind="stable")]


def features(
    asd: pd.DataFrame,
    voice: pd.DataFrame,
    spoken: Sequence[turns.Turn],
    person_of: dict[int, int],
    settings: Settings,
    strangers: Collection[int] = (),
) -> dict[str, np.ndarray]:
    """Return the features of the fused score, each (n,) and finite; one that is off is 0.

    `asd`: the model's score; `voice`: logit of voice activity, short pauses closed; `turn`: log odds that a voice
    heard now is this person's; `foreign`: how sure it is that none is, though the person's own voice is known (0-1);
    `rival`: how strongly another face speaks.
    """
    frame = asd["frame"].to_numpy()
    score = np.clip(np.nan_to_num(asd["score"].to_numpy(dtype=float)), -6, 6)
    out = {"asd": score} | {name: np.zeros(len(asd)) for name in ("voice", "turn", "foreign", "rival")}
    if settings.use_voice:
        out["voice"] = voice_logit(voice, int(frame.max()) + 1, settings.pause_s)[frame]
    if settings.use_turns:
        tracks = asd["track"].to_numpy()
        persons = asd["track"].map(lambda t: person_of.get(t, -1 - t)).to_numpy() if settings.use_identities else tracks
        out["turn"], out["foreign"] = _turn_odds(frame, tracks, persons, score, spoken, strangers)
    if settings.use_competition:
        out["rival"] = np.logaddexp(0, best_other(frame, score, -LIMIT)[0])
    return out


def match_voices(
    frame: np.ndarray,
    tracks: np.ndarray,
    persons: np.ndarray,
    score: np.ndarray,
    heard: dict[str, np.ndarray],
    strangers: Collection[int] = (),
) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Return P(voice is person) (voices, persons), the rest being off screen, with the voices and the persons.

    `heard` has a mask over frames for each voice. Evidence is the score of a person's tracks in frames where the voice
    is heard alone, and for how much of that time the person is on screen, as talkers mostly are. `strangers` may be
    one person in several shots, so they may share a voice with people they are never seen with.
    """
    voices, people = sorted(heard), np.unique(persons)
    alone = np.sum([heard[v] for v in voices], axis=0) == 1
    known = np.array([min(heard[v].sum() / _SURE_FRAMES, 1) for v in voices])
    distinct = np.minimum.outer(known, known) * (1 - np.eye(len(voices)))
    evidence = np.zeros((len(voices), len(people) + 1))
    lips, seen_alone = np.zeros((2, len(voices), len(people)))
    for i, voice in enumerate(voices):
        solo = heard[voice] & alone
        rows = np.flatnonzero(solo[frame])
        seen = np.zeros(len(people))
        for _, at in pd.Series(rows).groupby(tracks[rows]):
            j = np.searchsorted(people, persons[at.iloc[0]])
            said = _owned(score[at]).sum() / _CORRELATED_FRAMES
            evidence[i, j] += np.clip(said, -_MOST_AGAINST, _MOST_FOR)
            seen[j] += len(at)
        lips[i], seen_alone[i] = evidence[i, :-1], seen
        evidence[i, :-1] += np.log((seen + _STEADY_FRAMES) / (solo.sum() + _STEADY_FRAMES))
    belief = scipy.special.softmax(evidence, axis=1)
    for _ in range(_ROUNDS):
        taken = distinct @ belief[:, :-1]
        against = np.concatenate([_TWO_VOICES * np.minimum(taken, 1), np.zeros((len(voices), 1))], axis=1)
        belief = (belief + scipy.special.softmax(evidence - against, axis=1)) / 2
    found, is_stranger = belief[:, :-1].copy(), np.isin(people, list(strangers))
    for j in np.flatnonzero(is_stranger):
        beside = np.isin(people, persons[np.isin(frame, frame[persons == people[j]])])
        left = 1 - belief[:, :-1][:, beside & ~is_stranger].sum(axis=1)
        own = left * np.exp(lips[:, j]) / (np.exp(lips[:, beside & is_stranger]).sum(axis=1) + np.exp(-_ON_SCREEN))
        found[:, j] = np.where(seen_alone[:, j] >= _CORRELATED_FRAMES, np.maximum(found[:, j], own), found[:, j])
    return found, voices, people


def shared_voices(
    frame: np.ndarray, persons: np.ndarray, owned: np.ndarray, heard: dict[str, np.ndarray], belief: np.ndarray
) -> np.ndarray:
    """Return for each voice, by name, how probable it is that several people on screen have it, as the diarization hears one.

    Under such a voice each mouth rests for long, so that it would be nobody's; but some mouth moves whenever it is
    heard, and more than one do. `owned` (n,) is what the lips say, `belief` (voices, people) is of `match_voices`.
    """
    out = np.zeros(len(heard))
    for i, voice in enumerate(sorted(heard)):
        rows = np.flatnonzero(heard[voice][frame])
        moved = pd.Series(owned[rows] > 0).groupby(persons[rows]).sum()
        if (moved >= _MOVED_FRAMES).sum() > 1:
            said = pd.Series(owned[rows]).groupby(frame[rows]).max().sum() / _CORRELATED_FRAMES
            out[i] = scipy.special.expit(np.clip(said, -_MOST_AGAINST, _MOST_FOR)) * max(1 - belief[i].sum(), 0)
    return out


def _owned(score: np.ndarray) -> np.ndarray:
    """Return the log odds, from successive scores (n,), that the voice heard is the face's.

    They are averaged over two seconds. A still mouth under a voice all but rules its person out, a moving one is a hint, and an undecided one, as of lips
    that cannot be seen, says nothing.
    """
    steady = moving_mean(score, _STEADY_FRAMES)
    beyond = np.sign(steady) * np.maximum(np.abs(steady) - _UNDECIDED, 0) * ((steady > 0) | (steady < _UNSEEN))
    return np.clip(beyond, -LIMIT, LIMIT / 2)


def _turn_odds(
    frame: np.ndarray,
    tracks: np.ndarray,
    persons: np.ndarray,
    score: np.ndarray,
    spoken: Sequence[turns.Turn],
    strangers: Collection[int],
) -> tuple[np.ndarray, np.ndarray]:
    """Return for each row the log odds that a voice heard is the person's, over knowing nothing, and `foreign` of `features`."""
    heard = turns.spoken_frames(spoken, int(frame.max()) + 1)
    if not heard:
        return np.zeros(len(frame)), np.zeros(len(frame))
    belief, voices, people = match_voices(frame, tracks, persons, score, heard, strangers)
    owned = np.zeros(len(frame))
    for rows in pd.Series(tracks).groupby(tracks).indices.values():
        owned[rows] = _owned(score[rows])
    shared = shared_voices(frame, persons, owned, heard, belief)
    column = np.searchsorted(people, persons)
    silent, foreign, trust = np.ones(len(frame)), np.zeros(len(frame)), np.zeros(len(frame))
    brief = turns.spoken_frames((t for t in spoken if t.end_s - t.start_s < _BRIEF_S), int(frame.max()) + 1)
    steady = [heard[v] & ~brief.get(v, False) for v in voices]
    anybody = _quiet_share(frame, column, belief, steady)
    # Beside another voice, even a person who hardly moves the lips may have it.
    moves = np.where(np.any(steady, axis=0)[frame], 1.0, scipy.special.expit(score))
    for i, voice in enumerate(voices):
        now = heard[voice][frame]
        doubted = _BRIEF_DOUBT * brief[voice][frame] * moves if voice in brief else 0.0
        silent *= np.where(now, 1 - (belief[i, column] + (anybody - belief[i, column]) * doubted), 1)
        # If the voice's owner is on screen, two may talk at once; if with a still mouth, the turn itself is doubtful.
        doubt, owner_moves = np.ones(len(heard[voice])), np.ones(len(heard[voice]))
        np.minimum.at(doubt, frame, 1 - belief[i, column] * (1 - _BOTH_MOVE * scipy.special.expit(score)))
        np.minimum.at(owner_moves, frame, 1 - belief[i, column] * scipy.special.expit(-score))
        known = (belief.max(axis=0, where=np.arange(len(voices))[:, None] != i, initial=0))[column]
        foreign = np.where(now, np.maximum(foreign, known * doubt[frame] * (1 - doubted)), foreign)
        trust = np.where(now, np.maximum(trust, owner_moves[frame] * (1 - shared[i])), trust)
    odds = scipy.special.logit(np.clip(1 - silent, 1e-6, 1 - 1e-6)) - scipy.special.logit(
        1 / (1 + min(len(people), _LIKELY_PEOPLE))
    )
    # A turn says nothing against the others while the mouth of the one whose voice it is said to be is still, nor against
    # anybody if the voice is that of several.
    odds = np.where(odds < 0, odds * trust, odds)
    return np.clip(odds, -_TURN_LIMIT, _TURN_LIMIT), foreign * silent


def _quiet_share(frame: np.ndarray, column: np.ndarray, belief: np.ndarray, steady: Sequence[np.ndarray]) -> np.ndarray:
    """Return for each row the chance (n,) that a voice of nobody known is this face's: smaller for a person who talks already.

    One more than is on screen may own it. `steady` has for each voice in which frames it is heard for long.
    """
    quiet = np.ones(len(frame))
    for i, mask in enumerate(steady):
        quiet *= np.where(mask[frame], 1 - belief[i, column], 1)
    return quiet / (1 + np.bincount(frame, quiet)[frame])
