"""The fusion on conversations written down as scores, voice and turns."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from talking.core import arrays, tables
from talking.speaking import ablation, calibration, evidence, fitting, fusion
from talking.speech.turns import Turn
from talking.speech.turns import write as write_turns

FRAMES = 500


def rows(*scores: np.ndarray, start: int = 0) -> pd.DataFrame:
    """Return an `asd` table of tracks 0, 1, … all seen from `start` on."""
    return pd.concat(
        [
            pd.DataFrame({"track": k, "frame": start + np.arange(len(s)), "score": np.asarray(s, dtype=float)})
            for k, s in enumerate(scores)
        ],
        ignore_index=True,
    )


def voiced(where: np.ndarray | float = 0.99, frames: int = FRAMES) -> pd.DataFrame:
    return pd.DataFrame({"frame": np.arange(frames), "voice": np.broadcast_to(where, frames), "loudness_db": -20.0})


def noisy(mask: np.ndarray, seed: int, spread: float = 1.5, talk: float = 2, listen: float = -2) -> np.ndarray:
    """Return scores: `talk` where the mask is true, `listen` elsewhere, with correlated noise."""
    noise = np.convolve(np.random.default_rng(seed).normal(size=len(mask) + 8), np.ones(9) / 3, "valid")
    return np.where(mask, talk, listen) + spread * noise


def between(start: int, end: int) -> np.ndarray:
    return (np.arange(FRAMES) >= start) & (np.arange(FRAMES) < end)


def turns(**heard: list[tuple[int, int]]) -> list[Turn]:
    return sorted(Turn(a / 25, b / 25, label) for label, spans in heard.items() for a, b in spans)


def decided(asd, voice=None, spoken=(), person_of=None, strangers=(), **settings) -> list[np.ndarray]:
    """Return each track's decisions; checks what always holds."""
    person_of = person_of or {int(t): int(t) for t in asd["track"].unique()}
    voice = voiced() if voice is None else voice
    out = fusion.fuse(asd, voice, spoken, person_of, "lip_sync", fusion.Settings(**settings), strangers)
    assert out[["track", "frame"]].equals(asd[["track", "frame"]])
    assert np.isfinite(out[["score", "score_smooth", "speaking_confidence"]]).all(axis=None)
    assert out["speaking_confidence"].between(0, 1).all()
    return [out["speaking"].to_numpy()[out["track"] == t] for t in asd["track"].unique()]


def accuracy(found: np.ndarray, truth: np.ndarray) -> float:
    return float((found == truth).mean())


def test_turns_make_noisy_scores_right():
    a, b = between(0, 250), between(250, 500)
    asd = rows(noisy(a, 1, 2.5, 1, -1), noisy(b, 2, 2.5, 1, -1))
    spoken = turns(x=[(0, 250)], y=[(250, 500)])
    with_turns = decided(asd, spoken=spoken)
    without = decided(asd, spoken=spoken, use_turns=False)
    for truth, better, worse in zip((a, b), with_turns, without, strict=True):
        assert accuracy(better, truth) > 0.88
        assert accuracy(better, truth) > accuracy(worse, truth)


def test_lips_under_anothers_voice_do_not_speak_if_their_own_voice_is_known():
    a, b = between(0, 200), between(200, 300)
    # The second person mimes from 300 on, while the first is heard.
    lips = b | between(300, 500)
    asd = rows(noisy(a | between(300, 500), 3), noisy(lips, 4, talk=1))
    found = decided(asd, spoken=turns(x=[(0, 200), (300, 500)], y=[(200, 300)]))
    assert accuracy(found[1], b) > 0.9 and accuracy(found[0], a | between(300, 500)) > 0.9


def test_a_voice_from_off_screen_is_nobodys():
    asd = rows(noisy(between(0, 200), 5), noisy(between(200, 300), 6))
    found = decided(asd, spoken=turns(x=[(0, 200)], y=[(200, 300)], z=[(300, 500)]))
    assert found[0][310:].mean() < 0.02 and found[1][310:].mean() < 0.02


def test_who_mimes_a_voice_from_off_screen_does_not_speak_if_their_own_voice_is_known():
    # Both talk in the first shot; in the second, somebody not seen talks while the second person's lips move; then that
    # person talks again.
    asd = pd.concat(
        [
            rows(noisy(between(0, 100), 30)[:200], noisy(between(100, 200), 31)[:200]),
            rows(np.full(200, -3.0), np.full(200, 3.0), start=200).assign(track=lambda t: t["track"] + 2),
            rows(np.full(100, 3.0), start=400).assign(track=4),
        ],
        ignore_index=True,
    )
    person_of = {0: 0, 1: 1, 2: 0, 3: 1, 4: 1}
    spoken = turns(x=[(0, 100)], y=[(100, 200), (400, 500)], z=[(205, 395)])
    found = decided(asd, spoken=spoken, person_of=person_of)
    assert found[0][:100].mean() > 0.9 and found[1][100:].mean() > 0.9 and found[4].mean() > 0.9
    assert found[2].mean() < 0.02 and found[3][10:-10].mean() < 0.02


def test_a_turn_given_to_a_still_mouth_does_not_silence_the_one_who_talks():
    # The last turn is the second person's, but was taken for the first one's voice.
    a, b = between(0, 200), between(200, 500)
    asd = rows(noisy(a, 32, 0.5, 3, -4), noisy(b, 33, 0.5, 3, -4))
    found = decided(asd, spoken=turns(x=[(0, 200), (400, 500)], y=[(200, 400)]))
    assert found[1][400:].mean() > 0.9 and found[0][410:].mean() < 0.05


def test_lips_without_a_voice_do_not_speak():
    moving = np.ones(FRAMES, dtype=bool)
    found = decided(rows(noisy(moving, 7, talk=1.5)), voiced(np.where(between(0, 250), 0.99, 0.01)))[0]
    assert found[:240].mean() > 0.85 and found[260:].mean() < 0.05
    assert decided(rows(noisy(moving, 7, talk=2.5)), voiced(0.01), use_voice=False)[0].mean() > 0.7


def test_two_who_talk_at_once_both_speak():
    both = np.ones(FRAMES, dtype=bool)
    for spoken in ([], turns(x=[(0, 500)], y=[(0, 500)]), turns(x=[(0, 500)])):
        found = decided(rows(noisy(both, 8, 0.5, 2.5), noisy(both, 9, 0.5, 2.5)), spoken=spoken)
        assert found[0].mean() > 0.9 and found[1].mean() > 0.9, spoken


def test_a_short_answer_speaks_though_its_turn_is_given_to_somebody_elses_voice():
    # The second person answers briefly while the first talks; the third one's voice, known from later, is said to be heard.
    a, b, c = between(0, 200), between(205, 300) | between(100, 112), between(300, 500)
    asd = rows(noisy(a, 34, 0.3, 3, -3), noisy(b, 35, 0.3, 2, -3), noisy(c, 36, 0.3, 3, -3))
    spoken = turns(x=[(0, 200)], y=[(205, 300)], z=[(100, 112), (300, 500)])
    found = decided(asd, spoken=spoken)
    assert found[1][103:109].all() and found[0][90:120].mean() > 0.9
    in_a_pause = decided(asd, spoken=turns(x=[(0, 98), (114, 200)], y=[(205, 300)], z=[(100, 112), (300, 500)]))
    assert in_a_pause[1][103:109].all()
    # A still listener stays silent, and a brief turn while no other lips move is still its owner's.
    assert max(found[2][90:120].mean(), in_a_pause[2][90:120].mean()) < 0.1
    alone = decided(rows(np.full(FRAMES, -0.5), noisy(b, 37, 0.3, 3, -3)), spoken=turns(x=[(0, 12)], y=[(205, 300)]))
    assert alone[1][:12].mean() < 0.1


def test_a_diarization_that_hears_one_voice_silences_no_second_mouth():
    first = between(0, 400)
    asd = rows(noisy(first, 30, 0.5, 3, -3), noisy(~first, 31, 0.5, 0.7, -3))
    found = decided(asd, spoken=turns(x=[(0, 500)]))
    assert accuracy(found[0], first) > 0.95 and accuracy(found[1], ~first) > 0.9


def test_a_voice_of_two_who_talk_in_turn_is_not_from_off_screen():
    # Under the one voice that the diarization heard each mouth rests for half of the time.
    first = between(0, 250)
    asd = rows(noisy(first, 34, 0.5, 1.2, -4), noisy(~first, 35, 0.5, 1.2, -4))
    found = decided(asd, spoken=turns(x=[(0, 500)]))
    assert accuracy(found[0], first) > 0.95 and accuracy(found[1], ~first) > 0.95
    # Of one who talks for a while, and then nobody on screen does, it says so.
    asd = rows(noisy(between(0, 60), 36, 0.5, 1.2, -4), noisy(between(60, 100), 37, 0.5, 1.2, -4))
    features = fusion.features(asd, voiced(), turns(x=[(0, 500)]), {0: 0, 1: 1}, fusion.Settings())
    assert features["turn"][asd["frame"] > 200].max() < -2


def test_a_voice_that_is_nobody_elses_is_of_the_one_whose_lips_cannot_be_seen():
    # In two shots somebody in profile, whom nobody knows again, sits beside a person whose voice is known. The score of
    # lips that are not seen, while a voice is heard, is the lip model's own.
    entry = calibration.load()["lip_sync"]["score"]
    unseen = entry["bias"] + entry["weights"]["lost"] + evidence.LIMIT * entry["weights"]["voice"]
    known, first, second = between(0, 100) | between(250, 350), between(100, 250), between(350, 500)
    asd = pd.concat(
        [
            rows(noisy(known, 38, 0.5, 2, -4)),
            rows(np.full(250, unseen)).assign(track=1),
            rows(np.full(250, unseen), start=250).assign(track=2),
        ],
        ignore_index=True,
    )
    spoken = turns(x=[(0, 100), (250, 350)], y=[(100, 250), (350, 500)])
    found = decided(asd, spoken=spoken, strangers={1, 2})
    assert accuracy(found[0], known) > 0.95
    assert accuracy(found[1], first[:250]) > 0.9 and accuracy(found[2], second[250:]) > 0.9
    # If the mouths are seen to rest, the voice is from off screen.
    still = asd.assign(score=asd["score"].where(asd["track"] == 0, -4.0))
    found = decided(still, spoken=spoken, strangers={1, 2})
    assert not found[1].any() and not found[2].any()


def test_competition_tells_the_one_who_speaks_most():
    asd = rows(np.full(FRAMES, 3.0), np.full(FRAMES, 0.6))
    assert fusion.features(asd, voiced(), [], {0: 0, 1: 1}, fusion.Settings())["rival"][-1] > 2.9
    assert fusion.features(asd, voiced(), [], {0: 0, 1: 1}, fusion.Settings(use_competition=False))["rival"].max() == 0


def test_a_person_is_matched_across_shots():
    # In the second shot the lips cannot be judged; the person's voice is known from the first.
    first = noisy(np.ones(250, dtype=bool), 10)
    asd = pd.concat(
        [
            rows(first),
            rows(np.full(250, -0.3), np.full(250, -0.3), start=250).assign(track=lambda t: t["track"] + 1),
        ],
        ignore_index=True,
    )
    spoken = turns(x=[(0, 500)])
    joined = decided(asd, spoken=spoken, person_of={0: 0, 1: 0, 2: 1})
    assert joined[1].mean() > 0.9 and joined[2].mean() < 0.1
    split = decided(asd, spoken=spoken, person_of={0: 0, 1: 0, 2: 1}, use_identities=False)
    assert split[1].mean() < 0.5


def test_voices_find_their_persons_whatever_the_labels():
    frame = np.tile(np.arange(FRAMES), 3)
    persons = np.repeat([4, 7, 9], FRAMES)
    score = np.concatenate([noisy(between(0, 100), 11), noisy(between(100, 200), 12), noisy(between(0, 0), 13)])
    heard = {"b": between(0, 100), "a": between(100, 200), "c": between(200, 300)}
    belief, voices, people = fusion.match_voices(frame, persons, persons, score, heard)
    assert voices == ["a", "b", "c"] and people.tolist() == [4, 7, 9]
    assert belief[0].argmax() == 1 and belief[1].argmax() == 0 and min(belief[0].max(), belief[1].max()) > 0.9
    # Nobody seen has the third voice.
    assert belief[2].sum() < 0.1


def test_a_brief_new_voice_is_of_the_mouth_that_moves_rather_than_of_one_that_cannot_be_judged():
    # The diarization cuts the first sentence of who is known by another voice off as a voice of its own.
    talks = noisy(between(0, 45) | between(200, 300), 14, 0.5, 4.5, -3)
    beside = np.full(60, 0.2)  # a profile, which leaves with the cut
    spoken = turns(piece=[(0, 45)], own=[(200, 300)])
    voice = voiced(np.where(between(0, 45) | between(200, 300), 0.99, 0.01))
    found = decided(rows(talks, beside), voice, spoken, strangers=[1])
    assert found[0][:45].mean() > 0.9 and found[1][:45].mean() < 0.1


def test_a_still_mouth_rules_a_voice_out_that_a_moving_one_once_suggested():
    # The voice is heard as long over moving lips as over still ones: it is from off screen all the same.
    asd = rows(noisy(between(0, 240), 20, 0.5, 3, -3))
    track = asd["track"].to_numpy()
    heard = {"x": between(0, 480)}
    belief = fusion.match_voices(asd["frame"].to_numpy(), track, track, asd["score"].to_numpy(), heard)[0]
    assert belief[0, 0] < 0.2


def test_lips_that_cannot_be_judged_neither_own_nor_disown_a_voice():
    score = np.full(FRAMES, -0.9)
    one = np.zeros(FRAMES, int)
    belief = fusion.match_voices(np.arange(FRAMES), one, one, score, {"x": between(0, 500)})[0]
    assert belief[0, 0] == pytest.approx(0.5)


def test_flicker_is_merged_and_less_sure():
    score = np.where(np.arange(FRAMES) < 250, 4.0, -4.0)
    score[100:102] = -9
    asd = rows(score)
    out = fusion.fuse(asd, voiced(), [], {0: 0}, "talknet", fusion.Settings(smooth_frames=1))
    assert out["speaking"][:250].all() and not out["speaking"][250:].any()
    assert out["speaking_confidence"][100] < 0.5 < out["speaking_confidence"][50]


def test_smoothing_is_symmetric():
    score = np.zeros(21)
    score[10] = 7
    out = fusion.fuse(rows(score), voiced(frames=21), [], {0: 0}, "lip_sync", fusion.Settings())
    smooth = out["score_smooth"].to_numpy()
    assert np.allclose(smooth, smooth[::-1]) and smooth.argmax() in range(7, 14)


@pytest.mark.parametrize("name", ["use_voice", "use_turns", "use_competition"])
def test_each_ingredient_can_be_switched_off(name):
    asd = rows(noisy(between(0, 250), 14), noisy(between(250, 500), 15))
    key = {"use_voice": "voice", "use_turns": "turn", "use_competition": "rival"}[name]
    spoken = turns(x=[(0, 250)], y=[(250, 500)])
    on = fusion.features(asd, voiced(), spoken, {0: 0, 1: 1}, fusion.Settings())
    off = fusion.features(asd, voiced(), spoken, {0: 0, 1: 1}, fusion.Settings(**{name: False}))
    assert on[key].any() and not off[key].any()


@pytest.mark.parametrize(
    "asd",
    [rows([1.0]), rows([np.nan] * 40), rows(np.full(30, np.inf)), rows(np.zeros(30), start=10_000)],
)
@pytest.mark.parametrize("spoken", [[], turns(x=[(0, 20)]), [Turn(0, 0, "x"), Turn(1e4, 2e4, "y")]])
def test_poor_inputs_give_finite_decisions(asd, spoken):
    decided(asd, voice=voiced(frames=20), spoken=spoken)
    decided(asd, voice=voiced(frames=0), spoken=spoken)


def test_no_rows_give_an_empty_table():
    asd = pd.DataFrame({"track": [], "frame": [], "score": []}).astype({"track": int, "frame": int})
    out = fusion.fuse(asd, voiced(frames=0), [], {}, "lip_sync")
    assert out.empty and list(out) == ["track", "frame", "score", "score_smooth", "speaking", "speaking_confidence"]


def test_the_command_lines_pass_a_silent_empty_video_through(tmp_path):
    for name in ("m.mp4", "s.wav", "t.rttm"):
        (tmp_path / name).touch()
    for name in ("tracks", "voice", "persons"):
        tables.write(name, tables.empty(name), tmp_path / f"{name}.parquet")
    np.savez(tmp_path / "l.npz", track=np.zeros(0), frame=np.zeros(0), points=np.zeros((0, 68, 2)))
    np.savez(
        tmp_path / "e.npz",
        track=np.zeros(0, int),
        embedding=np.zeros((0, 128)),
        faces=np.zeros(0, int),
        same_person=0.07,
    )
    scripts = Path(fusion.__file__).parents[2]
    for line in (
        "score_asd.py --media m.mp4 --sound s.wav --tracks tracks.parquet --landmarks l.npz --voice voice.parquet --asd a.parquet",
        "fuse_speaking.py --asd a.parquet --voice voice.parquet --turns t.rttm --people persons.parquet --embeddings e.npz --model lip_sync --same-person 0.1 --speaking o.parquet",
    ):
        script, *arguments = line.split()
        subprocess.run([sys.executable, scripts / script, *arguments], cwd=tmp_path, check=True)
    assert tables.read("speaking", tmp_path / "o.parquet").empty


def test_the_truth_of_a_film_counts_its_own_frames(tmp_path):
    labels = pd.DataFrame({"frame": range(60), "person": "a", "speaking": [int(frame >= 30) for frame in range(60)]})
    labels = labels.assign(x1=0, y1=0, x2=50, y2=50)
    truth = tmp_path / "talk.frames.csv"
    labels.to_csv(truth, index=False)
    box = labels[["x1", "y1", "x2", "y2"]].iloc[:50]
    tracks = box.assign(track=0, shot=0, frame=range(50), detected=True, confidence=0.9)
    for name, table in (("tracks", tracks), ("voice", voiced(frames=50))):
        tables.write(name, table, tmp_path / f"{name}/talk.parquet")
    write_turns(tmp_path / "speech/talk.rttm", "talk", [])
    arrays.write(tmp_path / "landmarks/talk.npz", [("points", np.zeros((50, 68, 2), np.float32))])
    arrays.write(
        tmp_path / "embeddings/talk.npz",
        [("track", np.arange(1)), ("embedding", np.eye(1, 8, dtype=np.float32)), ("same_person", np.array([0.07]))],
    )
    # Two seconds at 30 frames a second: who speaks from the second second on does so from frame 25 on, at 25 fps.
    (tmp_path / "talk.json").write_text('{"fps": "30", "frames": 60}')
    assert fitting.read(tmp_path, truth, "lip_sync").truth.tolist() == [0] * 25 + [1] * 25
    (tmp_path / "talk.json").unlink()
    assert fitting.read(tmp_path, truth, "lip_sync").truth.tolist() == [0] * 30 + [1] * 20


def test_a_fit_finds_the_sign_of_what_it_is_told_and_stays_near_the_prior_elsewhere():
    rng = np.random.default_rng(16)
    truth = rng.integers(0, 2, 2000)
    table = pd.DataFrame(
        {"asd": truth * 2 - 1 + rng.normal(size=2000), "truth": truth}
        | dict.fromkeys(("voice", "turn", "foreign", "rival"), 0.0)
    )
    entry = fitting._logistic([table] * 4, fitting.FUSION_PRIOR)
    assert entry["weights"]["asd"] > 0.8 and abs(entry["bias"]) < 0.1
    assert entry["weights"]["turn"] == fitting.FUSION_PRIOR["turn"]


def test_what_turns_contribute_is_measured(tmp_path):
    a, b = between(0, 250), between(250, 500)
    asd = rows(noisy(a, 1, 2.5, 1, -1), noisy(b, 2, 2.5, 1, -1))
    tables.write("asd", asd, tmp_path / "asd/v.parquet")
    tables.write("voice", voiced(), tmp_path / "voice/v.parquet")
    write_turns(tmp_path / "speech/v.rttm", "v", turns(x=[(0, 250)], y=[(250, 500)]))
    people = tables.empty("persons").reindex(range(2)).assign(person=[0, 1], shot=0, tracks=[[0], [1]])
    people = people.assign(start_frame=0, end_frame=500, num_frames=500, role="participant")
    tables.write("persons", people, tmp_path / "people/v.parquet")
    arrays.write(
        tmp_path / "embeddings/v.npz",
        [("track", np.arange(2)), ("embedding", np.eye(2, 8, dtype=np.float32)), ("same_person", np.array([0.07]))],
    )
    said = asd[["track", "frame"]].assign(truth=np.concatenate([a, b]))
    found = ablation.contributions(tmp_path, "v", "lip_sync", said)
    assert found["all"]["accuracy"] > found["without turns"]["accuracy"] > found["model alone"]["accuracy"] - 0.1
    assert found["all"]["accuracy"] == found["without identities"]["accuracy"]
