"""Splits: training and test clips that share no person and no source video, and which test clips are hard."""

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

from talking import cli
from talking.errors import InputError

HARD_COLUMNS = ["num_people", "camera_motion", "overlap_share", "face_px"]
_TRAIN, _TEST = "train", "test"
# What the column `split` says of a clip that is in none: it shows what another one shows.
DUPLICATE = "duplicate"


@dataclass
class Settings:
    """Settings of the splits."""

    test_share: float = cli.setting(0.1, "share of the seconds meant for the test splits (0-1)", minimum=0, maximum=1)
    hard_num_people: int = cli.setting(3, "a clip with as many people is hard", minimum=1)
    hard_camera_motion: float = cli.setting(
        0.05, "so is one whose camera moves faster, in picture heights a second", minimum=0
    )
    hard_overlap_share: float = cli.setting(
        0.1, "so is one in which several people speak in a larger share of the frames", minimum=0, maximum=1
    )
    hard_face_px: float = cli.setting(96.0, "so is one whose smallest face is smaller, in px", minimum=0)
    seed: int = cli.setting(0, "another number gives other splits")


def components(video: np.ndarray, person: np.ndarray, num_videos: int, num_persons: int) -> np.ndarray:
    """Return the component (num_videos,) of each video: two videos are in one if a chain of shared people links them.

    `video` and `person` (n,) are the numbers of videos and of the people seen in them.
    """
    return connected_components(_graph(video, person, num_videos, num_persons), directed=False)[1][:num_videos]


def assign(
    component: np.ndarray, seconds: np.ndarray, videos: list[str], wanted: list[str], settings: Settings
) -> np.ndarray:
    """Return "train" or "test" for each video, whole components on one side.

    `wanted` is the sheet's split of each video ("" if it leaves it open). Open components come in an order that depends on
    the seed and on their first video's id alone, and go to the test side while the share allows it. Where none is small
    enough, the smallest goes there if it is less than half of everything; a single component is all for training.
    """
    side = np.full(component.max(initial=-1) + 1, "", dtype=object)
    for number, split in zip(component, wanted, strict=True):
        side[number] = split or side[number]
    amount = np.bincount(component, weights=seconds, minlength=len(side))
    first = {int(number): video for video, number in sorted(zip(videos, component, strict=True), reverse=True)}
    order = sorted(np.flatnonzero((side == "") & (amount > 0)).tolist(), key=lambda c: _hash(settings.seed, first[c]))
    limit, taken = settings.test_share * amount.sum(), amount[side == _TEST].sum()
    for number in order:
        if taken + amount[number] <= limit:
            side[number] = _TEST
            taken += amount[number]
    smallest = min(order, key=lambda c: amount[c], default=None)
    if taken == 0 and smallest is not None and limit > 0 and amount[smallest] < amount.sum() / 2:
        side[smallest] = _TEST
    return np.where(side == _TEST, _TEST, _TRAIN)[component]


def check(video: np.ndarray, person: np.ndarray, videos: list[str], persons: list[str], wanted: list[str]) -> None:
    """Raise InputError that names the videos, and the people who link them, if the sheet splits what belongs together."""
    component = components(video, person, len(videos), len(persons))
    side = np.array(wanted, dtype=object)
    graph = None
    clashing = np.intersect1d(component[side == _TRAIN], component[side == _TEST])
    if not clashing.size:
        return
    start = int(np.flatnonzero((component == clashing[0]) & (side == _TRAIN))[0])
    graph = _graph(video, person, len(videos), len(persons))
    order, before = breadth_first_order(graph, start, directed=False)
    end = next(int(node) for node in order if node < len(videos) and side[node] == _TEST)
    chain = [end]
    while chain[0] != start:
        chain.insert(0, int(before[chain[0]]))
    # Videos and people take turns along the chain.
    links = [
        f"{persons[chain[i] - len(videos)]} is in {videos[chain[i - 1]]} and {videos[chain[i + 1]]}"
        for i in range(1, len(chain), 2)
    ]
    raise InputError(
        f"the sheet puts {videos[start]} into train and {videos[end]} into test, but they share people"
        f" ({', '.join(links)}); give them one split."
    )


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


def _graph(video: np.ndarray, person: np.ndarray, num_videos: int, num_persons: int) -> csr_array:
    size = num_videos + num_persons
    edges = (np.ones(len(video), dtype=np.int8), (video, person + num_videos))
    return coo_array(edges, shape=(size, size)).tocsr()


def _hash(seed: int, video: str) -> str:
    return hashlib.sha256(f"{seed} {video}".encode()).hexdigest()
