"""Label Studio: clips as tasks with what the models say as predictions, and its annotations as decisions.

Tasks and annotations are as Label Studio's JSON format has them; the labelling interface, `interface()`, is written with the tasks.
Frames of its timelines count from 1, and ranges have their last frame in them.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from talking.core import intervals
from talking.core.errors import InputError
from talking.review.decisions import DROP, KEEP, Decision, Face
from talking.video import media

_TIMELINE, _DECISION, _LABELS, _NOTE = "speaking", "decision", "labels", "note"
_RIGHT = "right"


def interface(people: int) -> str:
    """Return the labelling interface (XML) of tasks with at most so many people."""
    labels = "".join(f'    <Label value="person {i}"/>\n' for i in range(people))
    return (
        '<View>\n  <Header value="$clip"/>\n  <Header value="$people"/>\n'
        f'  <Video name="video" value="$video" frameRate="{media.FPS}" timelineHeight="120"/>\n'
        f'  <TimelineLabels name="{_TIMELINE}" toName="video">\n{labels}  </TimelineLabels>\n'
        f'  <Choices name="{_DECISION}" toName="video" choice="single-radio"><Choice value="{KEEP}"/><Choice value="{DROP}"/></Choices>\n'
        f'  <Choices name="{_LABELS}" toName="video"><Choice value="{_RIGHT}"/></Choices>\n'
        f'  <TextArea name="{_NOTE}" toName="video"/>\n</View>\n'
    )


def task(meta: dict, speakers: dict, names: Sequence[str], videos: str) -> dict[str, Any]:
    """Return a clip as a task: `meta` and `speakers` are of its folder, `names` its people; its video lies at `videos`/CLIP/video.mp4.

    `faces` in its data says where each person's face is, so that annotations become decisions without the clip's folder.
    """
    people = speakers["people"]
    return {
        "data": {
            "video": f"{videos.rstrip('/')}/{meta['clip']}/video.mp4",
            "clip": meta["clip"],
            "source_video": meta["video"],
            "start_frame": meta["start_frame"],
            "end_frame": meta["end_frame"],
            "people": ", ".join(f"person {i}: {name}, {_place(i, len(people))}" for i, name in enumerate(names)),
            "faces": [_face(person["face_track"], meta) for person in people],
            "speak": [person["speak"] for person in people],
        },
        "predictions": [
            {
                "model_version": "talking",
                "result": [
                    {
                        "id": f"{i}-{start}",
                        "from_name": _TIMELINE,
                        "to_name": "video",
                        "type": "timelinelabels",
                        "value": {"ranges": [{"start": start + 1, "end": end}], "timelinelabels": [f"person {i}"]},
                    }
                    for i, person in enumerate(people)
                    for start, end in person["speak"]
                ],
            }
        ],
    }


def read(path: Path) -> list[Decision]:
    """Return the decisions of a file of annotated tasks exported as JSON; raises InputError that names the file and the task.

    A timeline is compared with the prediction that the task was made with; an annotation without one says nothing about speech.
    """
    try:
        tasks = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON ({error}); export the project as JSON.") from None
    if not isinstance(tasks, list):
        raise InputError(f"{path} is no list of tasks; export the project as JSON, not as JSON-MIN.")
    found = []
    for number, one in enumerate(tasks, start=1):
        try:
            for annotation in one["annotations"]:
                if not annotation.get("was_cancelled"):
                    found += _decisions(one["data"], annotation)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise InputError(
                f"{path}, task {number}: is none that export_label_studio made ({error!r}); export the project as JSON."
            ) from None
    return found


def _decisions(data: dict, annotation: dict) -> Iterable[Decision]:
    who, when = _who(annotation), str(annotation.get("updated_at") or annotation["created_at"])

    def decided(field: str, value: str, start: int, end: int, face: Face | None = None) -> Decision:
        first = data["start_frame"]
        return Decision(
            data["source_video"], (first + start) / media.FPS, (first + end) / media.FPS, field, value, face, who, when
        )

    frames = data["end_frame"] - data["start_frame"]
    results = annotation["result"]
    for result in results:
        name, value = result.get("from_name"), result["value"]
        if name == _NOTE:
            yield decided("note", " ".join(value["text"]), 0, frames)
        elif name in (_DECISION, _LABELS):
            for choice in value["choices"]:
                yield decided(name, choice, 0, frames)
    timeline = [r["value"] for r in results if r.get("type") == "timelinelabels"]
    if not timeline:
        return
    for i, face in enumerate(data["faces"]):
        if face is None:
            continue
        before = _mask(frames, data["speak"][i])
        own = [v for v in timeline if f"person {i}" in v["timelinelabels"]]
        after = _mask(frames, [(r["start"] - 1, r["end"]) for v in own for r in v["ranges"]])
        for value, mask in (("yes", after & ~before), ("no", before & ~after)):
            for start, end in intervals.from_mask(mask):
                yield decided("speaking", value, start, end, Face(*face))


def _mask(frames: int, periods: Iterable) -> np.ndarray:
    return intervals.to_mask([(int(start), int(end)) for start, end in periods], frames)


def _who(annotation: dict) -> str:
    by = annotation.get("completed_by", "")
    return str(by.get("email", by.get("id", "")) if isinstance(by, dict) else by)


def _place(i: int, count: int) -> str:
    return f"{i + 1} of {count} from the left"


def _face(track: list[list[float | None]], meta: dict) -> list[float] | None:
    """Return where a face first shows: seconds of the video, x and y as fractions of the picture; None if it never does."""
    for frame, (x1, y1, x2, y2) in enumerate(track):
        if x1 is not None:
            x, y = (x1 + x2) / 2 / meta["width"], (y1 + y2) / 2 / meta["height"]
            return [(meta["start_frame"] + frame) / media.FPS, *(round(min(max(c, 0.0), 1.0), 4) for c in (x, y))]
    return None
