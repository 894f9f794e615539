"""The gates: thresholds on the measured qualities of candidate clips, which decide what is in the data set.

A key `min_X` or `max_X` bounds the column X of the table `clips`, so a gate's name, its config key and its reason in
`rejected_by` are one word.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np
import pandas as pd

from talking.core import cli, schemas
from talking.core.errors import InputError

# The reason of a segment that no gate rejects but that is no candidate, as `clips` measures less than the gates let pass.
NOT_MEASURED = "not_measured"


@dataclass
class Settings:
    """Thresholds; a quality that could not be measured (null) passes its gate."""

    min_num_people: int = cli.setting(2, "fewest participants", minimum=1)
    max_num_people: int = cli.setting(4, "most participants", minimum=1)
    min_duration_s: float = cli.setting(5.0, "shortest clip in seconds", minimum=0.04)
    max_num_jump_cuts: int = cli.setting(5, "jump cuts within a clip", minimum=0)
    max_absent_share: float = cli.setting(
        0.3, "share of frames in which a participant is away: turned, covered or not found", minimum=0, maximum=1
    )
    max_bystander_ratio: float = cli.setting(
        1.0,
        "largest bystander's face, averaged over the frames of the clip, to the smallest participant's, by area",
        minimum=0,
    )
    max_bystander_share: float = cli.setting(1.0, "share of frames in which a bystander shows", minimum=0, maximum=1)
    max_repeated_person: int = cli.setting(
        0, "people who are shown twice in the picture, as by a mirror or a video call beside its recording", minimum=0
    )
    min_face_height_share: float = cli.setting(
        0.025, "height of the smallest face in shorter sides of the picture", minimum=0, maximum=1
    )
    min_area_ratio: float = cli.setting(
        0.25,
        "smallest to largest participant's face by area; somebody far smaller is in the background",
        minimum=0,
        maximum=1,
    )
    min_num_talkers: int = cli.setting(
        1,
        "people on screen who talk: one is enough, as who listens to the whole of a turn is half of a conversation",
        minimum=0,
    )
    min_speaking_share: float = cli.setting(
        0.1, "share of frames in which anybody on screen speaks", minimum=0, maximum=1
    )
    min_num_exchanges: int = cli.setting(
        0,
        "turns that another person answers; 0, as who listens to the whole of a turn is half of a conversation",
        minimum=0,
    )
    min_talk_balance: float = cli.setting(
        0.0, "share of all talk that who talks second most has; 0 for the same reason", minimum=0, maximum=0.5
    )
    max_off_screen_share: float = cli.setting(
        0.5, "share of frames with a voice that nobody on screen owns", minimum=0, maximum=1
    )
    min_mouth_sound_agreement: float = cli.setting(
        0.5,
        "share of labelled speech that a voice and moving lips bear out",
        minimum=0,
        maximum=1,
    )
    min_speaking_confidence: float = cli.setting(
        0.55, "mean probability that the speaking decisions are right", minimum=0, maximum=1
    )
    min_detected_share: float = cli.setting(
        0.5, "share of the frames with a box in which the detector saw each face", minimum=0, maximum=1
    )
    min_landmark_share: float = cli.setting(
        0.0,
        "share of the frames with a box in which each face has landmarks; profiles lose them, and who look at each other are"
        " in profile, so off by default",
        minimum=0,
        maximum=1,
    )
    max_turned_away_share: float = cli.setting(
        0.8,
        "share of frames in which anybody's head is turned away; who look at each other are in profile for half of them",
        minimum=0,
        maximum=1,
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
    max_unseen_person_share: float = cli.setting(
        1.0,
        "share of seconds that show a person without a found face, such as somebody from behind; 1, as a moderator may sit"
        " before two who debate",
        minimum=0,
        maximum=1,
    )
    max_sync_error_frames: float = cli.setting(
        3.0, "frames by which the sound may lead or lag a mouth, where that can be told", minimum=0
    )
    max_not_understood_share: float = cli.setting(
        1.0,
        "share of the time of speech whose words were not understood; 1, as who talks in any language converses",
        minimum=0,
        maximum=1,
    )
    max_camera_motion: float = cli.setting(0.5, "camera motion in picture heights a second", minimum=0)
    min_picture_motion: float = cli.setting(0.0001, "picture motion: below it the clip is a still", minimum=0)
    min_sharpness: float = cli.setting(
        0.0, "sharpness of the least sharp face; depends on the source, so off by default", minimum=0
    )


def select(
    candidates: pd.DataFrame,
    qualities: pd.DataFrame,
    inspections: pd.DataFrame,
    understood: pd.DataFrame,
    settings: Settings | None = None,
) -> pd.DataFrame:
    """Return the table `clips`: all candidates' rows, each with every gate that rejects it, and whether it is kept.

    `understood` is of `understanding.measure`. Raises InputError if the other tables are not of the same candidate clips.
    """
    settings = settings or Settings()
    wanted = set(candidates.loc[candidates["candidate"], "clip"])
    clips = candidates
    for name, table in {"qualities": qualities, "inspections": inspections, "words": understood}.items():
        if set(table["clip"]) != wanted:
            raise InputError(f"The {name} are of other clips than the candidates; delete both tables and run again.")
        measured = [c for c in schemas.schema("clips").names if c in table]
        clips = clips.merge(table[measured], on="clip", how="left", validate="one_to_one")
    reasons = np.where(clips["dissolve"], "dissolve", "").astype(object)
    for gate in dataclasses.fields(Settings):
        bound, column = gate.name.split("_", 1)
        limit, value = getattr(settings, gate.name), clips[column]
        _add(reasons, value < limit if bound == "min" else value > limit, gate.name)
    _add(reasons, ~clips["candidate"].astype(bool) & (reasons == ""), NOT_MEASURED)
    clips["rejected_by"] = reasons
    clips["kept"] = clips["rejected_by"] == ""
    return clips


def _add(reasons: np.ndarray, fails: pd.Series, name: str) -> None:
    at = np.flatnonzero(fails)
    reasons[at] = [f"{reason},{name}" if reason else name for reason in reasons[at]]
