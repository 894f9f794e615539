"""The report's part on CovOG: training curves and the table of metrics."""

import base64
import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd

from talking.core import tables
from talking.core.atomic import atomic_write

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

_RUNNING = 25
_ARROWS = {"up": "↑", "down": "↓", "truth": "≈"}
_COLOURS = ("#2a7f62", "#c8553d")
_STYLE = (
    "<style>body{font:14px sans-serif;margin:1.5em}table{border-collapse:collapse;margin-bottom:2em}"
    "td,th{padding:.25em .8em;border-bottom:1px solid #ddd;text-align:right}td:first-child,th:first-child{text-align:left}"
    "td{white-space:nowrap}li{color:#555}img{max-width:100%}</style>"
)


def draw_curves(losses: Sequence[Path], path: Path) -> None:
    """Draw the losses of trainings, a column of panels for each table of `covog_losses` in MODEL/STAGE/losses.parquet: the loss, and
    below it the error in each part of the timesteps."""
    with plt.rc_context({"svg.hashsalt": "report", "axes.spines.top": False, "axes.spines.right": False}):
        figure, panels = plt.subplots(
            2, len(losses), figsize=(5 * len(losses), 6.0), layout="constrained", squeeze=False
        )
        for axes, lower, file in zip(*panels, losses, strict=True):
            table = tables.read("covog_losses", file)
            axes.set(title=f"{file.parent.parent.name}, {file.parent.name}", xlabel="step", ylabel="loss")
            if table.empty:
                axes.text(0.5, 0.5, "too few clips to train on", ha="center", transform=axes.transAxes)
                lower.set_axis_off()
                continue
            train, held = (table[table["kind"] == kind] for kind in ("train", "validation"))
            axes.plot(train["step"], train["loss"], color=_COLOURS[0], alpha=0.25, linewidth=0.8)
            axes.plot(
                train["step"],
                train["loss"].rolling(_RUNNING, min_periods=1).mean(),
                color=_COLOURS[0],
                label=f"training, mean of {_RUNNING} steps",
            )
            axes.plot(held["step"], held["loss"], "o-", color=_COLOURS[1], label="validation")
            _draw_by_noise(lower, train)
            for panel in (axes, lower):
                panel.set_yscale("log")
                panel.legend(frameon=False)
        with atomic_write(path) as aside:
            figure.savefig(aside, format="svg", metadata={"Date": None})
        plt.close(figure)


def _draw_by_noise(axes: Axes, train: pd.DataFrame) -> None:
    errors = np.stack(train["error_by_noise"])
    axes.set(xlabel="step", ylabel=f"error without weights, mean of {_RUNNING} steps")
    for part in range(errors.shape[1]):
        found = pd.Series(errors[:, part]).rolling(_RUNNING, min_periods=1).mean()
        share = f"{100 * part // errors.shape[1]}–{100 * (part + 1) // errors.shape[1]} %"
        axes.plot(train["step"], found, linewidth=0.8, label=f"timesteps {share}")


def write_metrics(metrics: pd.DataFrame, losses: Sequence[Path], path: Path) -> None:
    """Write a `covog_metrics` table as HTML: one table a part, a row a model (the paper's row beside them), a column a metric.

    A mean over clips has its 95 % interval in brackets, [–] where there is none. Skipped metrics and what replaces a test split are
    named below. So are the first and the last pictures of the validations of each training, given by its MODEL/STAGE/losses.parquet.
    """
    metrics = metrics.assign(
        column=[
            m if of == "everything" else f"{m}, {of}" for m, of in zip(metrics["metric"], metrics["of"], strict=True)
        ]
    )
    order = {
        column: f"{column} {_ARROWS[better]}"
        for column, better in zip(metrics["column"], metrics["better"], strict=True)
    }
    body = []
    for part, rows in metrics.groupby("part", sort=True):
        models = list(dict.fromkeys(rows["model"]))
        shown = rows.assign(cell=[_cell(row) for row in rows.itertuples()])
        shown = shown[shown["value"].notna()].pivot(index="model", columns="column", values="cell").reindex(models)
        columns = [column for column in order if column in shown]
        head = "".join(f"<th>{html.escape(order[column])}</th>" for column in columns)
        lines = [
            f"<tr><td>{html.escape(model)}</td>" + "".join(f"<td>{cell}</td>" for cell in row[columns]) + "</tr>"
            for model, row in shown.fillna("–").iterrows()
        ]
        body.append(f"<h2>{html.escape(part)}</h2><table><tr><th>model</th>{head}</tr>{''.join(lines)}</table>")
    notes = metrics.loc[metrics["note"] != "", ["metric", "note"]]
    skipped = {f"{metric}: {note}" for metric, note in notes.itertuples(index=False) if note.startswith("skipped")}
    others = {note for note in notes["note"] if not note.startswith("skipped")}
    others.add(
        "↑: more is better, ↓: less is better, ≈: best as in the row truth. The row still is each clip's reference picture repeated: nothing in it moves."
    )
    others.add("In brackets: 95 % interval of the mean over clips (Student's t); [–]: fewer than three clips, or FVD.")
    body.append("<ul>" + "".join(f"<li>{html.escape(n)}</li>" for n in sorted(others) + sorted(skipped)) + "</ul>")
    body += [_validation(file.parent) for file in losses]
    with atomic_write(path) as aside:
        aside.write_text(
            f"<!doctype html><meta charset=utf-8><title>CovOG</title>{_STYLE}{''.join(body)}", encoding="utf-8"
        )


def _validation(training: Path) -> str:
    found = sorted(training.glob("validation/step_*.jpg"))
    if not found:
        return ""
    figures = [
        f"<figure><figcaption>step {int(picture.stem.removeprefix('step_'))}: truth above, generated below</figcaption>"
        f'<img src="data:image/jpeg;base64,{base64.b64encode(picture.read_bytes()).decode()}"></figure>'
        for picture in dict.fromkeys([found[0], found[-1]])
    ]
    name = html.escape(f"{training.parent.name}, {training.name}")
    return f"<h2>Validation pictures of {name}</h2>" + "".join(figures)


def _cell(row: Any) -> str:
    bounds = "–" if np.isnan(row.low) else f"{_number(row.low)}, {_number(row.high)}"
    # No clips of ours: the paper's.
    return _number(row.value) + (f" [{bounds}]" if row.clips else "")


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 10 else f"{value:.2f}"
