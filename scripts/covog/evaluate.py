"""Evaluation: generate clips that training has not seen, measure them against the truth and show both side by side."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import repeat
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from covog import config, data, generate, metrics, metrics_table
from covog.conditions import People, Placement, pose_pictures
from talking.core.errors import InputError
from talking.dataset import store
from talking.video import encoding, media

# Makes the placed pictures of a clip's segment.
Maker = Callable[[store.Clip, data.Segment, Placement], Iterator[np.ndarray]]
# Frames of a clip that are generated with another clip's sound, and the name of that row.
OTHER_SOUND_FRAMES, OTHER_SOUND = 75, "{}, another clip's sound"
# What replaces the test splits where the data set has none, and the note of it in the table.
NOTES = {
    "val": "no test split: the clips of the split val, by which training was followed",
    "held_out_clips": "no test split: whole clips that training left alone, of people whom it has seen in other clips",
    "held_out_ends": "no test split and one clip: its end, which training left alone",
}


def parts(dataset: Path, settings: config.Config) -> dict[str, list[data.Segment]]:
    """Return what is evaluated: the test splits' clips, or what training has left alone where there are none."""
    test = [
        data.Segment(c, 0, store.Clip(c).frames) for s in ("test_easy", "test_hard") for c in store.split(dataset, s)
    ]
    held_out = test or data.segments(dataset, settings.data)[1]
    names = {clip: part for part in store.SPLITS for clip in store.split(dataset, part)}
    found: dict[str, list[data.Segment]] = defaultdict(list)
    for segment in held_out:
        part = names[segment.clip]
        longest = settings.evaluation.frames or segment.end - segment.start
        end = min(segment.end, segment.start + longest)
        if end > segment.start:
            if part == "train":
                part = "held_out_ends" if segment.start else "held_out_clips"
            found[part].append(replace(segment, end=end))
    most = settings.evaluation.clips
    found = {part: segments[: most or None] for part, segments in found.items()}
    if not found:
        raise InputError(f"{dataset} has no clips to evaluate; add videos or relax the gates.")
    return found


def evaluate(
    name: str,
    generator: generate.Generator,
    dataset: Path,
    settings: config.Config,
    videos: Path,
    networks: metrics.Networks,
) -> pd.DataFrame:
    """Return the `covog_metrics` rows of one model; write its videos and comparisons to `videos`."""

    def make(clip: store.Clip, segment: data.Segment, placement: Placement) -> Iterator[np.ndarray]:
        script = replace(generate.script_of(clip), start=segment.start, end=segment.end)
        made = videos / f"{clip.path.name}.mp4"
        generate.write(made, generator, script, settings.data, clip.samples(), settings.seed)
        shown = generate.as_shown(script, settings.data.lips, generator.hears).people
        _compare(clip, segment, made, placement, videos / "compared" / made.name, shown)
        return media.frames(made)

    return _rows(name, make, dataset, settings, networks)


def with_other_sound(
    name: str,
    generator: generate.Generator,
    dataset: Path,
    settings: config.Config,
    videos: Path,
    networks: metrics.Networks,
) -> pd.DataFrame:
    """Return the `covog_metrics` row of lip_sync of the first clip that is evaluated, with the voices of another one of as many people,
    each speaking when the one in their place does there; no row if there is none in which anybody speaks for long enough, or if training
    has seen the clip's beginning.

    `videos` gets a comparison: the pictures that belong to the sound, and beside them what was made, with that sound.
    """
    (part, (segment, *_)), *_ = parts(dataset, settings).items()
    clip, clips = store.Clip(segment.clip), (store.Clip(c) for of in store.SPLITS for c in store.split(dataset, of))
    others = (o for o in clips if o.people == clip.people and o.path != clip.path and _is_heard(o))
    if segment.start > 0 or (other := next(others, None)) is None:
        return metrics_table.table(name, [], {}, networks)
    script = generate.script_of(clip, other)
    script = replace(script, end=min(script.frames, OTHER_SOUND_FRAMES))
    script = replace(script, people=replace(script.people, scores=other.scores))
    made = list(generator.video(script, settings.data, settings.seed))
    segment, size = data.Segment(other.path, 0, len(made)), (settings.data.width, settings.data.height)
    placement, placed = (Placement.fit((c.width, c.height), size, settings.data.fit) for c in (clip, other))
    samples = other.samples(0, len(made))
    pairs = zip(_truth(other, segment, placed), made, strict=True)
    encoding.encode(
        videos / f"compared/{clip.path.name}_other_sound.mp4", (np.concatenate(p, axis=1) for p in pairs), samples
    )
    faces = metrics.Faces.of(script.people, other.speaking, placement).part(slice(0, len(made)))
    measures = metrics.Measures(faces, samples, metrics.Networks(face_marker=networks.face_marker))
    for picture in made:
        measures.add(picture, picture)
    found = {key: value for key, value in measures.finish().items() if key[0] == metrics.LIP_SYNC}
    return metrics_table.table(OTHER_SOUND.format(name), [(part, found)], {}, metrics.Networks())


def _is_heard(clip: store.Clip) -> bool:
    """Return whether somebody speaks for long enough to be measured in what is generated with a clip's sound."""
    return clip.speaking[:OTHER_SOUND_FRAMES].sum(axis=0).max() >= metrics.FEWEST_FRAMES


def ends(dataset: Path, settings: config.Config, networks: metrics.Networks) -> pd.DataFrame:
    """Return the rows of what models lie between: `truth`, in the measures that do not compare with it, and `still`, each clip's
    reference picture repeated."""

    def still(clip: store.Clip, segment: data.Segment, placement: Placement) -> Iterator[np.ndarray]:
        reference = placement.picture(generate.script_of(clip).reference)
        return repeat(reference, segment.end - segment.start)

    alone = replace(networks, lpips=None, i3d=None, face_embedder=None)
    truth = _rows("truth", _truth, dataset, settings, alone)
    truth = truth[~truth["metric"].isin(metrics.COMPARED)]
    return pd.concat([truth, _rows("still", still, dataset, settings, networks)])


def _rows(name: str, make: Maker, dataset: Path, settings: config.Config, networks: metrics.Networks) -> pd.DataFrame:
    """Return the rows of videos that `make` makes for each clip that is evaluated."""
    size, way = (settings.data.width, settings.data.height), settings.data.fit
    measured, features = [], {}
    evaluated = parts(dataset, settings)
    for part, segments in evaluated.items():
        features[part] = []
        for segment in tqdm(segments, desc=f"{name}, {part}", unit=" clips"):
            clip = store.Clip(segment.clip)
            placement = Placement.fit((clip.width, clip.height), size, way)
            measures = _measured(clip, segment, make(clip, segment, placement), placement, networks)
            measured.append((part, measures.finish()))
            features[part] += measures.features
    rows = metrics_table.table(name, measured, features, networks)
    for part in evaluated.keys() & NOTES.keys():
        rows.loc[rows["part"].isin([part, "all"]) & (rows["note"] == ""), "note"] = NOTES[part]
    return rows


def _measured(
    clip: store.Clip,
    segment: data.Segment,
    made: Iterator[np.ndarray],
    placement: Placement,
    networks: metrics.Networks,
) -> metrics.Measures:
    # Bars are right without a model, and would count as such.
    frames, bare = slice(segment.start, segment.end), placement.without_bars()
    faces = metrics.Faces.of(People.of(clip), clip.speaking, bare).part(frames)
    measures = metrics.Measures(faces, clip.samples(segment.start, segment.end), networks)
    for truth, ours in zip(_truth(clip, segment, bare), made, strict=True):
        measures.add(truth, placement.cut_bars(ours))
    return measures


def _compare(
    clip: store.Clip, segment: data.Segment, made: Path, placement: Placement, out: Path, people: People
) -> None:
    """Write truth, poses of the `people` as the model got them and generated pictures side by side, with the sound."""
    frames = range(segment.start, segment.end)
    poses = (pose_pictures(people, np.array([frame]), placement)[0] for frame in frames)
    rows = zip(_truth(clip, segment, placement), poses, media.frames(made), strict=True)
    encoding.encode(out, (np.concatenate(row, axis=1) for row in rows), clip.samples(segment.start, segment.end))


def _truth(clip: store.Clip, segment: data.Segment, placement: Placement) -> Iterator[np.ndarray]:
    for picture in clip.pictures(segment.start, segment.end):
        yield placement.picture(picture)
