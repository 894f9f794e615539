"""The gates: thresholds on the measured qualities of candidate clips, which decide what is in the data set.

A key `min_X` or `max_X` bounds the column X of the table `clips`, so a gate's name, its config key and its reason in
`rejected_by` are one word.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np
import pandas as pd

from talking import cli, tables
from talking.errors import InputError


@dataclass
class Settings:
    """Thresholds; a quality that could not be measured (null) passes its gate."""

    min_face_px: float = cli.setting(48.0, "smallest person's face in px", minimum=0)
    min_area_ratio: float = cli.setting(
        0.4, "smallest to largest face: below it one of the people is a bystander, not a partner", minimum=0, maximum=1
    )
    min_num_talkers: int = cli.setting(
        1,
        "people on screen who talk: one is enough, as who listens to the whole of a turn is half of a conversation",
        minimum=0,
    )
    min_talking_s: float = cli.setting(1.0, "seconds in which anybody on screen speaks", minimum=0)
    max_off_screen_share: float = cli.setting(
        0.5, "share of frames with a voice that nobody on screen owns", minimum=0, maximum=1
    )
    min_mouth_sound_agreement: float = cli.setting(
        0.5,
        "share of labelled speech that a voice and moving lips bear out: low where a voice is dubbed",
        minimum=0,
        maximum=1,
    )
    min_speaking_confidence: float = cli.setting(
        0.55, "mean probability that the speaking decisions are right", minimum=0, maximum=1
    )
    max_ignored_face_share: float = cli.setting(
        0.1, "share of frames in which a face shows that is not counted as a person", minimum=0, maximum=1
    )
    min_detected_share: float = cli.setting(
        0.7, "share of frames in which the detector saw each face", minimum=0, maximum=1
    )
    min_landmark_share: float = cli.setting(
        0.5, "share of frames in which each face has landmarks", minimum=0, maximum=1
    )
    max_turned_away_share: float = cli.setting(
        0.5, "share of frames in which anybody's head is turned away", minimum=0, maximum=1
    )
    min_face_motion: float = cli.setting(
        0.002, "motion of the points of a face against each other: below it the face is a photograph", minimum=0
    )
    max_covered_share: float = cli.setting(
        0.5, "share of frames in which another face covers a fifth of anybody's", minimum=0, maximum=1
    )
    max_hand_over_face_share: float = cli.setting(
        0.3, "share of frames in which a hand lies over anybody's face", minimum=0, maximum=1
    )
    max_caption_over_face_share: float = cli.setting(
        0.2, "share of seconds in which writing, such as a caption, lies over anybody's face", minimum=0, maximum=1
    )
    max_sync_error_frames: float = cli.setting(
        3.0, "frames by which the sound may lead or lag a mouth, where that can be told", minimum=0
    )
    max_camera_motion: float = cli.setting(0.5, "camera motion in picture heights a second", minimum=0)
    min_picture_motion: float = cli.setting(0.0002, "picture motion: below it the clip is a still", minimum=0)
    min_sharpness: float = cli.setting(
        0.0, "sharpness of the least sharp face; depends on the source, so off by default", minimum=0
    )


def select(candidates: pd.DataFrame, inspections: pd.DataFrame, settings: Settings | None = None) -> pd.DataFrame:
    """Return the table `clips`: all candidates' rows, each with every gate that rejects it, and whether it is kept.

    Raises InputError if the inspections are not of the same candidate clips.
    """
    settings = settings or Settings()
    if set(inspections["clip"]) != set(candidates.loc[candidates["candidate"], "clip"]):
        raise InputError("The inspections are of other clips than the candidates; delete both tables and run again.")
    measured = [c for c in tables.schema("clips").names if c in inspections]
    clips = candidates.merge(inspections[measured], on="clip", how="left", validate="one_to_one")
    reasons = clips["rejected_by"].to_numpy(dtype=object)
    for gate in dataclasses.fields(Settings):
        bound, column = gate.name.split("_", 1)
        limit, value = getattr(settings, gate.name), clips[column]
        fails = clips["candidate"] & (value < limit if bound == "min" else value > limit)
        reasons = np.where(fails & (reasons != ""), reasons + ",", reasons) + np.where(fails, gate.name, "").astype(
            object
        )
    clips["rejected_by"] = reasons
    clips["kept"] = clips["rejected_by"] == ""
    return clips
