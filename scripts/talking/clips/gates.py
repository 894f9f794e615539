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
        0.3, "fraction of frames in which a participant is away: turned, covered or not found", minimum=0, maximum=1
    )
    max_bystander_ratio: float = cli.setting(
        1.0,
        "area of the largest bystander's face, averaged over the frames of the clip, divided by that of the smallest participant's",
        minimum=0,
    )
    max_bystander_share: float = cli.setting(
        1.0, "fraction of frames in which a bystander is seen", minimum=0, maximum=1
    )
    max_repeated_person: int = cli.setting(
        0, "people who appear twice in the picture, as in a mirror or a video call", minimum=0
    )
    min_face_height_share: float = cli.setting(
        0.025, "height of the smallest face, as a fraction of the picture's shorter side", minimum=0, maximum=1
    )
    min_area_ratio: float = cli.setting(
        0.25,
        "area of the smallest participant's face divided by that of the largest; a far smaller face is in the background",
        minimum=0,
        maximum=1,
    )
    min_num_talkers: int = cli.setting(
        1,
        "people on screen who talk; 1, as a listener is half of a conversation",
        minimum=0,
    )
    min_speaking_share: float = cli.setting(
        0.1, "fraction of frames in which anybody on screen speaks", minimum=0, maximum=1
    )
    min_num_exchanges: int = cli.setting(
        0,
        "turns that another person answers; 0, as a listener is half of a conversation",
        minimum=0,
    )
    min_talk_balance: float = cli.setting(
        0.0,
        "fraction of all talk by the second most talkative person; 0 (off), as a monologue has a listener too",
        minimum=0,
        maximum=0.5,
    )
    max_off_screen_share: float = cli.setting(
        0.5, "fraction of frames with a voice from off screen", minimum=0, maximum=1
    )
    min_mouth_sound_agreement: float = cli.setting(
        0.5,
        "fraction of labelled speech that a voice and moving lips confirm",
        minimum=0,
        maximum=1,
    )
    min_speaking_confidence: float = cli.setting(
        0.55, "mean probability that the speaking decisions are right", minimum=0, maximum=1
    )
    min_detected_share: float = cli.setting(
        0.5, "fraction of each person's boxes that the detector saw, not interpolation", minimum=0, maximum=1
    )
    min_landmark_share: float = cli.setting(
        0.0,
        "fraction of each person's boxes with landmarks; 0 (off), as people who look at each other are seen in profile, where"
        " landmarks are lost",
        minimum=0,
        maximum=1,
    )
    max_turned_away_share: float = cli.setting(
        0.8,
        "fraction of frames in which a head is turned away; people who look at each other are in profile half of the time",
        minimum=0,
        maximum=1,
    )
    min_face_motion: float = cli.setting(
        0.002, "motion of a face's points against each other; a photograph has less", minimum=0
    )
    max_covered_share: float = cli.setting(
        0.5, "fraction of frames in which another face covers a fifth of a face", minimum=0, maximum=1
    )
    max_hand_over_face_share: float = cli.setting(
        0.3, "fraction of frames in which a hand lies over a face", minimum=0, maximum=1
    )
    max_caption_over_face_share: float = cli.setting(
        0.2, "fraction of seconds in which writing, such as a caption, lies over a face", minimum=0, maximum=1
    )
    max_unseen_person_share: float = cli.setting(
        1.0,
        "fraction of seconds that show a person without a found face, such as from behind; 1 (off), as a moderator may sit"
        " with the back to the camera",
        minimum=0,
        maximum=1,
    )
    max_sync_error_frames: float = cli.setting(
        3.0, "frames by which the sound may lead or lag a mouth, where that can be measured", minimum=0
    )
    max_not_understood_share: float = cli.setting(
        1.0,
        "fraction of the time of speech whose words were not understood; 1 (off), as the language does not matter",
        minimum=0,
        maximum=1,
    )
    max_camera_motion: float = cli.setting(0.5, "camera motion, in picture heights a second", minimum=0)
    min_picture_motion: float = cli.setting(0.0001, "picture motion; a still has less", minimum=0)
    min_sharpness: float = cli.setting(
        0.0, "sharpness of the least sharp face; 0 (off), as it depends on the source", minimum=0
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
    clips["rejected_by"], clips["reviewed"] = reasons, ""
    clips["kept"] = clips["rejected_by"] == ""
    return clips


def _add(reasons: np.ndarray, fails: pd.Series, name: str) -> None:
    at = np.flatnonzero(fails)
    reasons[at] = [f"{reason},{name}" if reason else name for reason in reasons[at]]
