"""What each kind of evidence contributes to the fusion: the decision without it, measured against truth."""

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score

from talking.core import tables
from talking.core.arrays import opened
from talking.faces import identities
from talking.speaking import fusion
from talking.speech import turns

# Each switch of the fusion, and what it switches off.
INGREDIENTS = {
    "use_voice": "voice activity",
    "use_turns": "turns",
    "use_identities": "identities",
    "use_competition": "competition",
}


def contributions(results: Path, video: str, model: str, said: pd.DataFrame) -> dict[str, dict[str, float | None]]:
    """Return accuracy and average precision of the model alone, of the whole fusion and of it without each kind of evidence.

    `said` has a row track, frame, truth for each face whose truth is known. Raises InputError for a missing table.
    """
    evidence = _evidence(results, video)
    asd = evidence[0]
    alone = asd[["track", "frame", "score"]].rename(columns={"score": "score_smooth"})
    out = {"model alone": _figures(alone.assign(speaking=alone["score_smooth"] > 0), said)}
    for left_out in (None, *INGREDIENTS):
        settings = fusion.Settings(**({left_out: False} if left_out else {}))
        found = _fused(evidence, model, settings)
        out[f"without {INGREDIENTS[left_out]}" if left_out else "all"] = _figures(found, said)
    return out


def decided(results: Path, video: str, model: str) -> pd.DataFrame:
    """Return the table `speaking` as fusion decides it with its defaults, without what reviewers corrected; raises InputError for a missing table."""
    return _fused(_evidence(results, video), model, fusion.Settings())


def _evidence(results: Path, video: str) -> tuple:
    asd, voice = (
        tables.read("asd", results / f"asd/{video}.parquet"),
        tables.read("voice", results / f"voice/{video}.parquet"),
    )
    spoken = turns.read(results / f"speech/{video}.rttm", video)
    people = tables.read("persons", results / f"people/{video}.parquet")
    with opened(results / f"embeddings/{video}.npz") as arrays:
        person_of = identities.cluster_persons(people, arrays, identities.Settings().same_person)
        strangers = identities.strangers(person_of, arrays)
    return asd, voice, spoken, person_of, strangers


def _fused(evidence: tuple, model: str, settings: fusion.Settings) -> pd.DataFrame:
    asd, voice, spoken, person_of, strangers = evidence
    return fusion.fuse(asd, voice, spoken, person_of, model, settings, strangers)


def _figures(found: pd.DataFrame, said: pd.DataFrame) -> dict[str, float | None]:
    both = said.merge(found[["track", "frame", "score_smooth", "speaking"]], on=["track", "frame"])
    truth = both["truth"].to_numpy(dtype=bool)
    if not truth.size:
        return {"accuracy": None, "average_precision": None}
    precision = average_precision_score(truth, both["score_smooth"]) if truth.any() else None
    return {"accuracy": float(np.mean(both["speaking"] == truth)), "average_precision": precision}
