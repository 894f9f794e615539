"""Attribution: which face on screen says each word."""

import numpy as np
import pandas as pd
import pytest

from talking.core import tables
from talking.speech import attribution
from talking.speech.turns import Turn


def speaking(**tracks) -> pd.DataFrame:
    """Return a table `speaking` from score(frames,) per track, NaN where the track is not on screen."""
    parts = [
        pd.DataFrame({"track": int(name[1:]), "frame": np.arange(len(score)), "score_smooth": score})
        for name, score in tracks.items()
    ]
    rows = pd.concat(parts).dropna()
    return rows.assign(score=rows["score_smooth"], speaking=rows["score_smooth"] > 0, speaking_confidence=0.9)


def said(*rows) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["word", "start_s", "end_s"]).assign(confidence=0.9)


def test_words_go_to_the_face_that_speaks_or_to_nobody(tmp_path):
    first, second = np.full(200, -2.0), np.full(200, -2.0)
    first[0:50], second[50:100] = 2.0, 2.0
    transcript = said(("hello", 0.2, 0.6), ("there.", 0.7, 1.2), ("yes", 2.4, 2.8), ("phone", 5.0, 5.5))
    spoken = [Turn(0, 1.5, "A"), Turn(2.3, 3, "B"), Turn(4.9, 6, "C")]
    found = attribution.attribute(transcript, spoken, speaking(t0=first, t1=second))
    assert found["said_by"].tolist() == ["track 0", "track 0", "track 1", "off screen"]
    assert found["speaker"].tolist() == ["A", "A", "B", "C"]
    assert found["track"].isna().tolist() == [False, False, False, True]
    tables.write("words", found, tmp_path / "w.parquet")


def test_a_mistimed_word_follows_its_utterance():
    score = np.full(200, -1.0)
    score[20:100] = 2.5
    # The first word lies before the mouth opens.
    transcript = said(("So", 0.5, 0.75), ("this", 1.0, 1.2), ("is", 1.2, 1.4), ("mine", 1.4, 2.0))
    found = attribution.attribute(transcript, [Turn(0.5, 4, "A")], speaking(t0=score))
    assert set(found["said_by"]) == {"track 0"}


def test_a_word_outside_every_turn_takes_the_nearest_or_none():
    spoken = [Turn(0, 1, "A"), Turn(3, 4, "B")]
    found = attribution.attribute(
        said(("a", 1.2, 1.3), ("b", 2.8, 2.9), ("c", 9, 9.2)), spoken, speaking(t0=np.zeros(5))
    )
    assert found["speaker"].tolist() == ["A", "B", ""]
    assert set(found["said_by"]) == {"off screen"}


def test_no_words_and_no_faces_flow_through(tmp_path):
    tables.write(
        "words",
        attribution.attribute(tables.empty("transcript"), [], tables.empty("speaking")),
        tmp_path / "a.parquet",
    )
    alone = attribution.attribute(said(("a", 0, 1)), [], tables.empty("speaking"))
    tables.write("words", alone, tmp_path / "b.parquet")
    assert tables.read("words", tmp_path / "b.parquet")["said_by"].tolist() == ["off screen"]


def test_a_word_at_the_edge_of_a_shot_follows_its_utterance():
    # The decision ends early: over the last word's frames the score has fallen below 0.
    score = np.full(100, np.nan)
    score[:60], score[60:70] = 2.5, -1.5
    transcript = said(("that", 1.0, 1.4), ("is", 1.4, 1.7), ("very", 1.7, 2.3), ("true.", 2.4, 2.8))
    found = attribution.attribute(transcript, [Turn(0.9, 2.8, "A")], speaking(t0=score))
    assert set(found["said_by"]) == {"track 0"}


@pytest.mark.slow
def test_twenty_thousand_words_find_their_turns_in_seconds():
    """Two hours of talk: every word's speaker is the one who is heard most in it, as by trying all turns."""
    rng = np.random.default_rng(0)
    start = np.sort(rng.uniform(0, 7200, 20_000))
    words = pd.DataFrame({"word": "so", "start_s": start, "end_s": start + rng.uniform(0.1, 0.5, start.size)})
    # Turns overlap, and one voice is heard all the time.
    begins = rng.uniform(0, 7200, 6000)
    spoken = [Turn(0, 3600, "always")] + [
        Turn(float(b), float(b + d), f"{i % 5}")
        for i, (b, d) in enumerate(zip(begins, rng.exponential(1.0, 6000), strict=True))
    ]
    found = attribution.attribute(words.assign(confidence=0.9), spoken, speaking(t0=np.full(10, 1.0)))
    for at in range(0, 20_000, 997):
        row = found.iloc[at]
        common = [min(t.end_s, row.end_s) - max(t.start_s, row.start_s) for t in sorted(spoken)]
        best = max(common)
        assert row.speaker == (sorted(spoken)[common.index(best)].speaker if best > -0.5 else "")
