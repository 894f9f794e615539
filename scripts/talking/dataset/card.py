"""The data card: what a data set holds, where it comes from, how it is split, its known errors."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

import pandas as pd

from talking.core import cli
from talking.dataset import splits, store
from talking.dataset.changes import Version
from talking.review.decisions import DROP, Decision
from talking.video import media

COLUMNS = ["video", "split", "hard_because", "num_people", "bytes", "duration_s", "face_px", "num_turns", "speaking_share",
           "overlap_share", "off_screen_share", "mouth_sound_agreement", "speaking_confidence", "not_understood_share", "reviewed"]  # fmt: skip
TALK_COLUMNS = {
    "turns": ["turn_clip", "reply_clip", "gap_s"],
    "listening": ["clip", "start_frame", "end_frame", "num_backchannels"],
}
_STATISTICS = {
    "duration_s": "length of a clip, s",
    "face_px": "smallest face of a clip, px",
    "num_turns": "turns in a clip",
    "speaking_share": "fraction of frames in which somebody on screen speaks",
    "overlap_share": "fraction of frames in which several people speak",
}


@dataclass
class Settings:
    """Settings of the data card."""

    contact: str = cli.setting("", "email address or page where people can ask to be removed; named in the data card")


def text(
    clips: pd.DataFrame,
    inputs: pd.DataFrame,
    people: pd.DataFrame,
    turns: pd.DataFrame,
    listening: pd.DataFrame,
    groups: int,
    strangers: int,
    decisions: Sequence[Decision],
    removed: dict[str, int],
    version: Version,
    settings: Settings,
    split_settings: splits.Settings,
) -> str:
    """Return the card of kept clips (`COLUMNS`), the tables `videos` and `people`, and `TALK_COLUMNS` of `turns` and `listening`.

    `groups` is the number of groups of videos that share no one, `strangers` of training clips with somebody whose face
    could not be compared; `decisions` are those of reviewers; `removed` counts what was removed on request; `version` is the data set's.
    """
    seconds = clips["duration_s"]
    template = Template(Path(__file__).with_name("data_card.md").read_text(encoding="utf-8"))
    by_people = (seconds.groupby(clips["num_people"]).sum() / 3600).items()
    return template.substitute(
        clips=len(clips),
        hours=f"{seconds.sum() / 3600:.2f}",
        person_hours=f"{(seconds * clips['num_people']).sum() / 3600:.2f}",
        persons=len(people),
        videos=int((inputs["num_clips"] > 0).sum()),
        inputs=len(inputs),
        version=version.number,
        content=version.content,
        megabytes=f"{clips['bytes'].sum() / 1e6:.0f}",
        talk=_talk(turns, listening),
        statistics=_table(["", "median", "mean", "5 %", "95 %"], _statistics(clips)),
        by_people=", ".join(f"{hours:.2f} with {number}" for number, hours in by_people) or "none",
        splits=_table(["split", "clips", "hours", "videos"], _splits(clips)) + f"\n\n{_people_by_split(people)}",
        criteria="\n".join(_criteria(split_settings, clips)),
        split_note=_split_note(groups, people),
        strangers=strangers,
        sources=_table(["source", "licence", "videos", "hours kept", "addresses"], _sources(inputs)),
        confidence=_figure(clips["speaking_confidence"].mean(), 2),
        unsupported=_figure(100 * (1 - clips["mouth_sound_agreement"].mean()), 0),
        off_screen=_figure(100 * clips["off_screen_share"].mean(), 0),
        not_understood=_figure(100 * clips["not_understood_share"].mean(), 0),
        review=_review(clips, decisions),
        removed=_removed(removed),
        contact=settings.contact
        or "No contact is given. Whoever publishes this data set must name one (config key `card: contact`).",
    )


def _review(clips: pd.DataFrame, decisions: Sequence[Decision]) -> str:
    if not decisions:
        return "Nobody has reviewed the clips."
    reviewers = {decision.who for decision in decisions if decision.who}
    fields = clips["reviewed"].str.split(",").explode()
    counts = fields[fields != ""].value_counts().sort_index()
    dropped = sum(decision.field == "decision" and decision.value == DROP for decision in decisions)
    told = ", ".join(f"{field} in {count}" for field, count in counts.items())
    return (
        f"{int((clips['reviewed'] != '').sum())} of {len(clips)} clips were reviewed: {len(decisions)} decisions of {len(reviewers)}"
        f" reviewers, {dropped} of them to drop a clip. Clips by what was decided or corrected in them: {told or 'none'}. `meta.json`"
        " says who reviewed a clip (`reviewed_by`) and each decision (`decisions`)."
    )


def _talk(turns: pd.DataFrame, listening: pd.DataFrame) -> str:
    in_clip = (turns["turn_clip"] != "") & (turns["turn_clip"] == turns["reply_clip"])
    heard = listening[listening["clip"] != ""]
    seconds = (heard["end_frame"] - heard["start_frame"]).sum() / media.FPS
    return (
        f"{len(turns)} turns with a reply, {int(in_clip.sum())} of them with both in one clip; the median gap is {_figure(turns['gap_s'].median(), 2)} s,"
        f" and {_figure(100 * (turns['gap_s'] < 0).mean(), 0)} % of the replies begin before the turn ends. {seconds / 3600:.2f} hours of listening in"
        f" clips, with {heard['num_backchannels'].sum()} backchannels."
    )


def _removed(removed: dict[str, int]) -> str:
    if not any(removed.values()):
        return ""
    counted = ", ".join(f"{name} {count}" for name, count in removed.items())
    return f"Removed on request, with every clip that showed or let hear it: {counted}.\n\n"


def _statistics(clips: pd.DataFrame) -> list[list[str]]:
    rows = []
    for column, label in _STATISTICS.items():
        values = clips[column].astype(float)
        figures = [values.median(), values.mean(), values.quantile(0.05), values.quantile(0.95)]
        rows.append([label, *(_figure(v, 2 if column.endswith("share") else 1) for v in figures)])
    return rows


def _splits(clips: pd.DataFrame) -> list[list[str]]:
    others = [name for name in (splits.DUPLICATE, splits.WITHHELD) if (clips["split"] == name).any()]
    parts = ((name, clips[clips["split"] == name]) for name in (*store.SPLITS, *others))
    return [[n, str(len(c)), f"{c['duration_s'].sum() / 3600:.2f}", str(c["video"].nunique())] for n, c in parts]


def _people_by_split(people: pd.DataFrame) -> str:
    count = people["split"].value_counts()
    told = (f"{name} {count.get(name, 0)}" for name in (splits.TRAIN, splits.VAL, splits.TEST, splits.SEVERAL))
    withheld = f", in none {count[splits.WITHHELD]}" if splits.WITHHELD in count else ""
    return f"People by split: {', '.join(told)}{withheld}."


def _criteria(settings: splits.Settings, clips: pd.DataFrame) -> list[str]:
    combinations = clips["hard_because"].value_counts()
    met = {n: int(combinations[[n in c.split(",") for c in combinations.index]].sum()) for n in splits.HARD_COLUMNS}
    said = {
        "num_people": f"{settings.hard_num_people} or more people",
        "camera_motion": f"camera faster than {settings.hard_camera_motion:g} picture heights a second",
        "overlap_share": f"several people speak in more than {settings.hard_overlap_share:.0%} of the frames",
        "face_px": f"smallest face below {settings.hard_face_px:g} px",
    }
    return [f"- {said[name]} (`{name}`; met by {met[name]} of all clips)" for name in splits.HARD_COLUMNS]


def _split_note(groups: int, people: pd.DataFrame) -> str:
    several = people.loc[people["split"] == splits.SEVERAL, "person"].tolist()
    note = (
        f"People who are in many videos of a source do not join those videos, as nothing could be held out otherwise: {', '.join(several)}"
        f" {'is' if len(several) == 1 else 'are'} in several splits (`{splits.SEVERAL}` in `people.parquet`), so tests say"
        " how well a model does on the people they talk with and on other days."
        if several
        else ""
    )
    if groups == 1:
        return (
            "All videos with clips are linked by people they share, so nothing could be held out: everything is in `train`, "
            "and a model can only be validated on clips it may have seen. Add videos of other people for a test."
        )
    if people["split"].isin([splits.TRAIN, splits.WITHHELD]).all():
        return f"No group of videos was small enough to be held out ({groups} groups that share no one); add videos."
    return f"There are {groups} groups of videos that share no one else with each other. {note}".strip()


def _sources(inputs: pd.DataFrame) -> list[list[str]]:
    rows = []
    for (source, licence), group in inputs.groupby(["source", "licence"]):
        urls = [url for url in group["url"] if url]
        listed = " ".join(urls[:5]) + (f" and {len(urls) - 5} more, in `videos.parquet`" if len(urls) > 5 else "")
        rows.append([source, licence, str(len(group)), f"{group['seconds_kept'].sum() / 3600:.2f}", listed])
    return rows


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _figure(value: float, digits: int) -> str:
    return "-" if pd.isna(value) else f"{value:.{digits}f}"
