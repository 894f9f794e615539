"""Splits: training, validation and test clips that share no person and no source video, and which test clips are hard.

A person in many videos of a source (a host) does not join them, else a talk show would be one group. Videos stay in their
split: `splits.tsv` remembers it, and videos that are added later are placed around them.
"""

import csv
import hashlib
import itertools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

from talking.core import cli
from talking.core.atomic import atomic_write
from talking.core.errors import InputError

HARD_COLUMNS = ["num_people", "camera_motion", "overlap_share", "face_px"]
TRAIN, VAL, TEST = "train", "val", "test"
# Of two splits that claim a video, the first of these gets it.
_CLAIMS = (TRAIN, TEST, VAL)
# Values of the column `split` for clips in no split: duplicates, and clips that share people with another split.
DUPLICATE, WITHHELD = "duplicate", "withheld"
# Value of the column `split` of `people` for people who do not join videos.
SEVERAL = "several"
_MEMORY_COLUMNS = ["video", "split", "several"]
_MEMORY_NOTE = "# Which split each video is in, and who of it is in several. Written by collect_dataset; keep it with the sample sheet."


@dataclass
class Settings:
    """Settings of the splits."""

    test_share: float = cli.setting(
        0.1, "target fraction of the seconds for the test splits (0-1)", minimum=0, maximum=1
    )
    val_share: float = cli.setting(
        0.05, "target fraction of the seconds for the validation split (0-1)", minimum=0, maximum=1
    )
    common_share: float = cli.setting(
        0.3,
        "a person in a larger fraction of a source's videos, such as a host, does not join them and may be in several splits",
        minimum=0,
        maximum=1,
    )
    common_videos: int = cli.setting(
        4, "such a person must also be in at least so many videos of the source", minimum=2
    )
    memory: str = cli.setting(
        "splits.tsv", "file that remembers the splits, relative to the working directory; keep it if you delete results"
    )
    hard_num_people: int = cli.setting(3, "a clip with at least so many people is hard", minimum=1)
    hard_camera_motion: float = cli.setting(
        0.05, "a clip whose camera moves faster is hard, in picture heights a second", minimum=0
    )
    hard_overlap_share: float = cli.setting(
        0.1,
        "a clip in which several people speak at once in a larger fraction of the frames is hard",
        minimum=0,
        maximum=1,
    )
    hard_face_px: float = cli.setting(96.0, "a clip with a smaller face is hard, in px", minimum=0)
    seed: int = cli.setting(0, "random seed")


@dataclass(frozen=True)
class Cast:
    """The people of each video: `video` and `person` (n,) are numbers, each pair once; `videos`, `persons` their names.

    `sources` names each video's source and `seconds` (videos,) how long its clips are.
    """

    video: np.ndarray
    person: np.ndarray
    videos: list[str]
    persons: list[str]
    sources: list[str]
    seconds: np.ndarray

    def without(self, persons: Iterable[int]) -> "Cast":
        """Return the cast without some people."""
        kept = ~np.isin(self.person, list(persons))
        return Cast(self.video[kept], self.person[kept], self.videos, self.persons, self.sources, self.seconds)


@dataclass
class Memory:
    """Content of the file `memory`: the split of each video, and the labels of its people who are in several splits."""

    split: dict[str, str] = field(default_factory=dict)
    several: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Assignment:
    """`side` (videos,): train, val, test or withheld; `common` people who do not join videos, with their labels; `groups` of videos that share no one else."""

    side: np.ndarray
    common: dict[int, str]
    groups: int


def read_memory(path: Path) -> Memory:
    """Read a file of splits, empty if there is none; raises InputError that names a wrong line."""
    memory = Memory()
    if not path.exists():
        return memory
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = [(n, line) for n, line in enumerate(lines, start=1) if line.strip() and not line.startswith("#")]
    for (number, _), row in zip(rows, csv.reader((line for _, line in rows), delimiter="\t"), strict=True):
        if row == _MEMORY_COLUMNS:
            continue
        if len(row) != len(_MEMORY_COLUMNS) or row[1] not in (TRAIN, VAL, TEST, WITHHELD):
            raise InputError(
                f"{path}, line {number}: needs a video, train, val, test or withheld, and labels of people or nothing,"
                " with tabs between; correct or remove the line."
            )
        video, split, several = row
        if memory.split.setdefault(video, split) != split:
            raise InputError(
                f"{path}, line {number}: {video} is in {memory.split[video]} on an earlier line; keep one of them."
            )
        memory.several[video] = several.split(",") if several else []
    return memory


def write_memory(path: Path, memory: Memory) -> None:
    """Write the splits, one line a video in the order of names, if they differ from the file's."""
    rows = [f"{v}\t{s}\t{','.join(sorted(memory.several.get(v, [])))}" for v, s in sorted(memory.split.items())]
    text = "\n".join([_MEMORY_NOTE, "\t".join(_MEMORY_COLUMNS), *rows]) + "\n"
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    try:
        with atomic_write(path) as aside:
            aside.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error}); name another file in splits.memory.") from error


def remembered(memory: Memory, cast: Cast, wanted: list[str], assignment: Assignment) -> Memory:
    """Return a memory with all videos that have clips and with the splits of the sample sheet.

    Other videos stay in it, in case they come back.
    """
    labels: dict[int, list[str]] = {}
    for video, person in zip(cast.video.tolist(), cast.person.tolist(), strict=True):
        if person in assignment.common:
            labels.setdefault(video, []).append(assignment.common[person])
    split, several = dict(memory.split), dict(memory.several)
    for number, video in enumerate(cast.videos):
        if cast.seconds[number] > 0:
            split[video] = wanted[number] or split.get(video, str(assignment.side[number]))
            several[video] = labels.get(number, [])
    return Memory(split, several)


def assign(cast: Cast, wanted: list[str], memory: Memory, settings: Settings) -> Assignment:
    """Return the split of each video.

    `wanted` is the sample sheet's split of each video ("" if open); it overrides the memory.
    New videos that share people, directly or through each other, with a split's videos join it; where they would join two
    splits, those that touch the smaller claim (test, then val) are withheld. New groups that touch no split
    come in an order that depends on the seed and on their first video's id alone, and go to test, then to validation,
    while the shares allow it. Where none is small enough, the smallest goes there if it is less than half (validation:
    a fifth) of everything. A remembered test or validation video that turns out to share somebody with training is
    withheld. Raises InputError if the sample sheet separates people, or contradicts the memory.
    """
    common = _common(cast, memory, settings)
    tied = cast.without(common)
    component = components(tied.video, tied.person, len(tied.videos), len(tied.persons))
    _check_sheet(tied, component, wanted)
    side = np.array([w or memory.split.get(v, "") for v, w in zip(tied.videos, wanted, strict=True)], dtype=object)
    _check_memory(tied, side, wanted)
    _withhold_known(tied, side)
    _join_known(tied, side)
    _fill(np.where(side == "", component, -1), side, cast, settings)
    return Assignment(side, common, len(np.unique(component[cast.seconds > 0])))


def components(video: np.ndarray, person: np.ndarray, num_videos: int, num_persons: int) -> np.ndarray:
    """Return the component (num_videos,) of each video: two videos are in one if a chain of shared people links them.

    `video` and `person` (n,) are the numbers of videos and of the people seen in them.
    """
    return connected_components(_graph(video, person, num_videos, num_persons), directed=False)[1][:num_videos]


def hard_reasons(clips: pa.Table, settings: Settings) -> pa.Array:
    """Return for each clip (columns `HARD_COLUMNS`) the criteria of a hard clip that it meets, joined by commas."""
    people, motion, overlap, face = (clips[name].to_numpy() for name in HARD_COLUMNS)
    met = [
        people >= settings.hard_num_people,
        motion > settings.hard_camera_motion,
        overlap > settings.hard_overlap_share,
        face < settings.hard_face_px,
    ]
    names = [",".join(n for i, n in enumerate(HARD_COLUMNS) if code >> i & 1) for code in range(2 ** len(met))]
    return pa.array(names).take(pa.array(sum(m.astype(int) << i for i, m in enumerate(met))))


def _common(cast: Cast, memory: Memory, settings: Settings) -> dict[int, str]:
    """Return the people who do not join videos, with a label each: those of the memory, and those in many videos of a source."""
    videos_of: dict[int, list[int]] = {}
    for video, person in zip(cast.video.tolist(), cast.person.tolist(), strict=True):
        videos_of.setdefault(person, []).append(video)
    found = _known_common(cast, memory)
    source_size = Counter(s for s, seconds in zip(cast.sources, cast.seconds, strict=True) if seconds > 0)
    for person, videos in sorted(videos_of.items()):
        often = Counter(cast.sources[v] for v in videos)
        is_common = any(
            n >= settings.common_videos and n > settings.common_share * source_size[s] for s, n in often.items()
        )
        if is_common and person not in found:
            first, taken = f"in-{min(cast.videos[v] for v in videos)}", set(found.values())
            found[person] = next(
                name for n in range(1, len(taken) + 2) if (name := first if n == 1 else f"{first}-{n}") not in taken
            )
    return found


def _known_common(cast: Cast, memory: Memory) -> dict[int, str]:
    """Return the people who have a remembered label: each who is in more than half of the videos that list it."""
    listed: dict[str, list[int]] = {}
    for number, video in enumerate(cast.videos):
        for label in memory.several.get(video, []):
            listed.setdefault(label, []).append(number)
    appears = (np.ones(len(cast.video), dtype=np.int8), (cast.video, cast.person))
    people_of = csr_array(appears, shape=(len(cast.videos), len(cast.persons)))
    found: dict[int, str] = {}
    for label, videos in sorted(listed.items()):
        people, times_shown = np.unique(people_of[videos].indices, return_counts=True)
        if times_shown.max(initial=0) > len(videos) / 2 and (best := int(people[times_shown.argmax()])) not in found:
            found[best] = label
    return found


def _check_sheet(cast: Cast, component: np.ndarray, wanted: list[str]) -> None:
    """Raise InputError that names the videos, and the people who link them, if the sample sheet separates videos that share people."""
    side = np.array(wanted, dtype=object)
    clashing = np.intersect1d(component[side == TRAIN], component[side == TEST])
    if not clashing.size:
        return
    start = int(np.flatnonzero((component == clashing[0]) & (side == TRAIN))[0])
    graph = _graph(cast.video, cast.person, len(cast.videos), len(cast.persons))
    order, before = breadth_first_order(graph, start, directed=False)
    end = next(int(node) for node in order if node < len(cast.videos) and side[node] == TEST)
    chain = [end]
    while chain[0] != start:
        chain.insert(0, int(before[chain[0]]))
    # Videos and people take turns along the chain.
    videos = cast.videos
    links = [
        f"{cast.persons[chain[i] - len(videos)]} is in {videos[chain[i - 1]]} and {videos[chain[i + 1]]}"
        for i in range(1, len(chain), 2)
    ]
    raise InputError(
        f"the sample sheet puts {videos[start]} into train and {videos[end]} into test, but they share people"
        f" ({', '.join(links)}); give them one split."
    )


def _check_memory(cast: Cast, side: np.ndarray, wanted: list[str]) -> None:
    """Raise InputError that names the two videos if the sample sheet sets a split for one and the memory has its people in another."""
    for videos in _by_person(cast):
        for video in (v for v in videos if wanted[v]):
            others = [v for v in videos if not wanted[v] and side[v] not in ("", WITHHELD, side[video])]
            if others:
                name, other = cast.videos[video], cast.videos[others[0]]
                raise InputError(
                    f"the sample sheet puts {name} into {wanted[video]}, but it shares people with {other}, which splits.memory"
                    f" has in {side[others[0]]}; give {other} a split in the sample sheet, or remove its line from that file."
                )


def _withhold_known(cast: Cast, side: np.ndarray) -> None:
    """Withhold, of videos with a split that share somebody with another split, those with the smaller claim."""
    for videos in _by_person(cast):
        sides = {side[v] for v in videos}
        strongest = next((s for s in _CLAIMS if s in sides), "")
        for v in videos:
            if side[v] in _CLAIMS and side[v] != strongest:
                side[v] = WITHHELD


def _join_known(cast: Cast, side: np.ndarray) -> None:
    """Give open videos the split of those that they share people with, and withhold those that would join two splits."""
    touched: list[set[str]] = [set() for _ in cast.videos]
    shared = _by_person(cast)
    for videos in shared:
        for v in videos:
            touched[v] |= {side[other] for other in videos} - {"", WITHHELD}
    for v in np.flatnonzero(side == ""):
        side[v] = WITHHELD if len(touched[v]) > 1 else ""
    is_open = side == ""
    pairs = {pair for videos in shared for pair in itertools.pairwise(v for v in videos if is_open[v])}
    ends = np.array(sorted(pairs), dtype=int).reshape(-1, 2)
    links = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(side), len(side)))
    opened = np.flatnonzero(is_open)
    group = connected_components(links, directed=False)[1][opened]
    order = np.argsort(group, kind="stable")
    for members in np.split(opened[order], np.flatnonzero(np.diff(group[order])) + 1):
        sides = set().union(*(touched[v] for v in members))
        if sides:
            joined = next(s for s in _CLAIMS if s in sides)
            for v in members:
                side[v] = joined if touched[v] <= {joined} else WITHHELD


def _fill(component: np.ndarray, side: np.ndarray, cast: Cast, settings: Settings) -> None:
    """Give the open groups (numbers from 0) a side each, in place."""
    is_open = component >= 0
    amount = np.bincount(component[is_open], weights=cast.seconds[is_open])
    first = {int(c): v for v, c in sorted(zip(cast.videos, component, strict=True), reverse=True)}
    order = sorted(np.flatnonzero(amount > 0).tolist(), key=lambda c: _hash(settings.seed, first[c]))
    total = float(cast.seconds.sum())
    for name, share, most in ((TEST, settings.test_share, 1 / 2), (VAL, settings.val_share, 1 / 5)):
        limit, taken = share * total * (1 + 1e-9), float(cast.seconds[side == name].sum())
        chosen = []
        for c in order:
            if taken + amount[c] <= limit:
                chosen.append(c)
                taken += float(amount[c])
        smallest = min(order, key=lambda c: amount[c], default=None)
        if taken == 0 and smallest is not None and limit > 0 and amount[smallest] < most * total:
            chosen = [smallest]
        side[np.isin(component, chosen)] = name
        left = set(order) - set(chosen)
        order = [c for c in order if c in left]
    side[side == ""] = TRAIN


def _by_person(cast: Cast) -> list[list[int]]:
    """Return the videos of each person who is in more than one."""
    order = np.lexsort((cast.video, cast.person))
    edges = np.flatnonzero(np.diff(cast.person[order])) + 1
    return [group.tolist() for group in np.split(cast.video[order], edges) if len(group) > 1]


def _graph(video: np.ndarray, person: np.ndarray, num_videos: int, num_persons: int) -> csr_array:
    size = num_videos + num_persons
    edges = (np.ones(len(video), dtype=np.int8), (video, person + num_videos))
    return coo_array(edges, shape=(size, size)).tocsr()


def _hash(seed: int, video: str) -> str:
    return hashlib.sha256(f"{seed} {video}".encode()).hexdigest()
