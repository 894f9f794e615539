"""The report's pictures: the funnel of rejections, statistics, a card per clip, run times and the inputs."""

import base64
import html
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from talking.core import cli
from talking.core.atomic import atomic_write
from talking.video import media

matplotlib.use("svg")
import matplotlib.pyplot as plt

KEPT, REJECTED, INK = "#2a7f62", "#c8553d", "#333333"
PERSON_COLOURS = ("#1f77b4", "#ff7f0e", "#9467bd", "#8c564b")
plt.rcParams |= {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 9,
    "text.color": INK,
    "svg.hashsalt": "report",
}


@dataclass(frozen=True)
class Settings:
    """Settings of the report."""

    max_cards: int = cli.setting(
        40, "largest number of clips shown as cards, spread evenly over the data set", minimum=0
    )


def read_columns(paths: Iterable[Path], columns: list[str]) -> pd.DataFrame:
    """Return some columns of many Parquet tables of one schema, stacked, without loading the others."""
    parts = [pq.read_table(path, columns=columns) for path in paths]
    return pa.concat_tables(parts).to_pandas() if parts else pd.DataFrame(columns=columns)


def funnel(candidates: pd.DataFrame, seconds_in: float) -> dict[str, float]:
    """Return how many seconds of the videos are left after each stage; `candidates` as in `draw_funnel`."""
    seconds = candidates["duration_s"]
    return {
        "in the videos": seconds_in,
        "somebody takes part": seconds[candidates["num_people"] > 0].sum(),
        "several do, for long enough": seconds[candidates["candidate"]].sum(),
        "kept": seconds[candidates["kept"]].sum(),
    }


def draw_funnel(candidates: pd.DataFrame, seconds_in: float, path: Path) -> None:
    """Draw how many seconds of the videos are left after each stage, and what each reason rejects.

    `candidates` has the columns duration_s, num_people, candidate, kept and rejected_by of all clips tables.
    """
    stages = funnel(candidates, seconds_in)
    reasons = candidates.loc[~candidates["kept"], ["duration_s", "rejected_by"]]
    reasons = reasons.assign(rejected_by=reasons["rejected_by"].str.split(",")).explode("rejected_by")
    reasons = reasons.groupby("rejected_by")["duration_s"].agg(["sum", "size"]).sort_values("sum")

    height = 1.6 + 0.28 * max(len(stages), len(reasons))
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, height), layout="constrained")
    bars = left.barh(list(stages)[::-1], list(stages.values())[::-1], color=[KEPT] + ["#9bb8ad"] * 3)
    left.bar_label(bars, fmt="%.0f s", padding=3)
    left.set(title="From videos to clips", xlabel="seconds")
    bars = right.barh(reasons.index, reasons["sum"], color=REJECTED)
    right.bar_label(bars, [f"{s:.0f} s in {n}" for s, n in reasons.itertuples(index=False)], padding=3)
    right.set(title="Rejected by (a segment can have several reasons)", xlabel="seconds")
    for axes in (left, right):
        axes.margins(x=0.25)
    _save(figure, path)


def draw_statistics(kept: pd.DataFrame, path: Path) -> None:
    """Draw clip lengths, people per clip, face sizes, and speaking, overlap and turn shares of the kept clips."""
    figure, axes = plt.subplots(2, 3, figsize=(11, 5.5), layout="constrained")
    hours = kept["duration_s"].sum() / 3600
    figure.suptitle(f"{len(kept)} clips, {hours:.2f} hours, {(kept['duration_s'] * kept['num_people']).sum() / 3600:.2f} person-hours")  # fmt: skip
    histograms = {
        "clip length (s)": kept["duration_s"],
        "smallest face (px)": kept["face_px"],
        "turns a minute": kept["num_turns"] / kept["duration_s"].clip(lower=1e-6) * 60,
    }
    for plot, (label, values) in zip((axes[0, 0], axes[0, 2], axes[1, 2]), histograms.items(), strict=True):
        plot.hist(values.dropna(), bins=20, color=KEPT)
        plot.set(xlabel=label, ylabel="clips")
    people = kept.groupby("num_people")["duration_s"].sum() / 60
    bars = axes[0, 1].bar(people.index.astype(str), people, color=KEPT)
    axes[0, 1].bar_label(bars, fmt="%.1f")
    axes[0, 1].set(xlabel="people in the clip", ylabel="minutes")
    for plot, column, label in (
        (axes[1, 0], "speaking_share", "fraction of frames in which somebody speaks"),
        (axes[1, 1], "overlap_share", "fraction of frames in which several speak"),
    ):
        plot.hist(kept[column].dropna(), bins=20, range=(0, 1), color=KEPT)
        plot.set(xlabel=label, ylabel="clips")
    _save(figure, path)


def draw_run_times(benchmarks: Path, path: Path) -> None:
    """Draw the wall time of each rule, all jobs together, from the benchmark files below a folder, one folder a rule."""
    seconds: dict[str, float] = {}
    for file in sorted(benchmarks.rglob("*.tsv")):
        rule = file.relative_to(benchmarks).parts[0].removesuffix(".tsv")
        seconds[rule] = seconds.get(rule, 0.0) + pd.read_csv(file, sep="\t")["s"].sum()
    ordered = sorted(seconds.items(), key=lambda item: item[1])
    figure, axes = plt.subplots(figsize=(8, 1 + 0.26 * max(len(ordered), 1)), layout="constrained")
    bars = axes.barh([k for k, _ in ordered], [v for _, v in ordered], color="#5c7c9c")
    axes.bar_label(bars, fmt="%.1f s", padding=3)
    axes.set(title="Run time by rule, all videos together", xlabel="seconds")
    axes.margins(x=0.15)
    _save(figure, path)


def write_inputs(videos: pd.DataFrame, path: Path) -> None:
    """Write the videos as an HTML table, unusable ones first."""
    order = videos.assign(bad=videos["status"] != "ok").sort_values(["bad", "video"], ascending=[False, True])
    rows = "".join(
        f'<tr class="{"" if row.status == "ok" else "bad"}"><td>{_text(row.video)}</td><td>{_text(row.status)}</td>'
        f"<td>{_text(row.reason)}</td><td>{row.seconds_in:.1f}</td><td>{row.seconds_kept:.1f}</td></tr>"
        for row in order.itertuples()
    )
    body = f"<table><tr><th>video</th><th>status</th><th>reason</th><th>seconds in</th><th>seconds kept</th></tr>{rows}</table>"
    _write_page("Inputs", body, path)


def write_cards(dataset: Path, clips: pd.DataFrame, path: Path, settings: Settings) -> None:
    """Write an HTML page with a card for each of up to `max_cards` clips: strip of frames, score curves, words."""
    from talking.dataset.preview import strip

    chosen = clips.iloc[np.unique(np.linspace(0, len(clips) - 1, min(settings.max_cards, len(clips))).astype(int))]
    cards = []
    for row in chosen.itertuples():
        folder = dataset / row.clip
        speakers = json.loads((folder / "speakers.json").read_text())
        picture = _data_uri(_jpeg(strip(folder)), "image/jpeg")
        curves = _data_uri(_curves(speakers["people"]), "image/svg+xml")
        again = f", shows what {_text(row.duplicate_of)} shows: in no split" if row.duplicate_of else ""
        cards.append(
            f'<section><h2>{_text(row.clip)}</h2><p class="facts">{row.duration_s:.1f} s, {row.num_people} people, '
            f"{row.num_turns} turns, smallest face {row.face_px:.0f} px{again}</p>"
            f'<img src="{picture}" alt="frames"><img src="{curves}" alt="speaking scores">'
            f"<p>{_words(speakers)}</p></section>"
        )
    note = f"<p>{len(chosen)} of {len(clips)} clips.</p>" if len(chosen) < len(clips) else ""
    _write_page("Clips", note + "".join(cards) if len(clips) else "<p>No clip was kept.</p>", path)


def _curves(people: list[dict]) -> bytes:
    """Return an SVG of each person's score over time, filled where the person speaks."""
    figure, plots = plt.subplots(
        len(people), 1, figsize=(11, 0.75 * len(people) + 0.35), sharex=True, squeeze=False, layout="constrained"
    )
    for i, (plot, person) in enumerate(zip(plots[:, 0], people, strict=True)):
        colour = _colour(i)
        score = np.asarray(person["speaking_score"], dtype=float)
        plot.plot(np.arange(len(score)) / media.FPS, score, color=colour, linewidth=1)
        plot.axhline(0, color="#aaaaaa", linewidth=0.6)
        for start, end in person["speak"]:
            plot.axvspan(start / media.FPS, end / media.FPS, color=colour, alpha=0.25, linewidth=0)
        plot.set_ylabel(f"person {i}", rotation=0, ha="right", va="center")
        plot.margins(x=0)
    plots[-1, 0].set_xlabel("s")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    plt.close(figure)
    return buffer.getvalue()


def _words(speakers: dict) -> str:
    """Return the clip's words as HTML, coloured by who says them."""
    return " ".join(
        f'<span style="color:{_colour(word["person"])}">{_text(word["word"])}</span>' for word in speakers["words"]
    )


def _colour(person: int | None) -> str:
    """Return the colour of a clip's person; grey of somebody who is not on screen."""
    return "#888888" if person is None else PERSON_COLOURS[person % len(PERSON_COLOURS)]


def _jpeg(picture: np.ndarray) -> bytes:
    import cv2

    return cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])[1].tobytes()


def _data_uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _text(value: object) -> str:
    return html.escape(str(value))


def _write_page(title: str, body: str, path: Path) -> None:
    style = (
        "body{font:15px/1.5 system-ui,sans-serif;color:#333;max-width:1100px;margin:2em auto;padding:0 1em}"
        "img{max-width:100%;display:block;margin:.3em 0}section{border-top:1px solid #ddd;padding:.6em 0}"
        "h2{font-size:1.05em;margin:.2em 0}.facts{color:#777;margin:0}"
        "table{border-collapse:collapse}td,th{padding:.25em .8em;border-bottom:1px solid #ddd;text-align:left}"
        ".bad{background:#fbe9e5}"
    )
    page = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{style}</style><h1>{title}</h1>{body}</html>\n'
    with atomic_write(path) as aside:
        aside.write_text(page, encoding="utf-8")


def _save(figure: plt.Figure, path: Path) -> None:
    with atomic_write(path) as aside:
        figure.savefig(aside, metadata={"Date": None})
    plt.close(figure)
