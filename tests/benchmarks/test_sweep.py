"""How the search for segments grows with the number of tracks: 200,000 tracks against 20,000, in one run."""

import time

import numpy as np
import pandas as pd

from talking.clips import find


def seconds_of(tracks: int) -> float:
    """Return the processor time of a sweep over `tracks` overlapping tracks."""
    rng = np.random.default_rng(0)
    start = rng.integers(0, 20 * tracks, size=tracks)
    end = np.minimum(start + rng.integers(1, 2_000, size=tracks), 20 * tracks)
    people = {i: [(int(a), int(b))] for i, (a, b) in enumerate(zip(start, end, strict=True))}
    whole = {"start_frame": [0], "clear_start_frame": [0], "clear_end_frame": [20 * tracks], "end_frame": [20 * tracks]}
    [scene] = find.scenes(pd.DataFrame({"shot": [0], "transition": ["start"], **whole}))
    began = time.process_time()
    found = find.segments(scene, people, absence=25)
    taken = time.process_time() - began
    assert sum(s.end - s.start for s in found) == 20 * tracks
    return taken


def test_ten_times_the_tracks_take_about_ten_times_as_long():
    # The least of several runs: one of milliseconds is easily held up by something else.
    few, many = (min(seconds_of(tracks) for _ in range(5)) for tracks in (20_000, 200_000))
    print(f"sweep of 20,000 tracks: {few:.3f} s; of 200,000: {many / few:.1f} times that")
    assert few < 1
    assert many / few < 40
