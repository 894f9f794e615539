"""Films whose every flash comes with a click, in all the ways that films are odd: after ingest both are where they were."""

from fractions import Fraction

import av
import numpy as np
import pytest

from odd_films import EVENTS, SIZE, assert_in_step, at_rate, ffmpeg, film, ingested
from talking.video import media


@pytest.mark.parametrize("fps", [15, Fraction(24000, 1001), 24, 30, Fraction(30000, 1001), 50, 60])
def test_other_frame_rates_keep_pictures_and_sound_together(tmp_path, fps):
    made = ingested(film(tmp_path / "a.mp4", at_rate(fps), EVENTS), tmp_path)
    assert made.probe.frames == 250 and made.probe.reencoded
    assert made.probe.source_fps == pytest.approx(float(fps), abs=0.01)
    assert made.probe.variable_frame_rate is False
    assert_in_step(made, EVENTS)


def test_a_variable_frame_rate_keeps_pictures_and_sound_together(tmp_path):
    random = np.random.default_rng(1)
    times, now = [], Fraction(0)
    while now < 10:
        times.append(now)
        now += Fraction(int(random.choice([1, 2, 3, 4, 9])), 60)
    # Every event is a moment at which a picture is shown.
    events = [float(min(times, key=lambda t: abs(t - event))) for event in EVENTS]
    made = ingested(film(tmp_path / "a.mp4", times, events), tmp_path)
    assert made.probe.variable_frame_rate and made.probe.reencoded
    assert made.probe.frames == pytest.approx(250, abs=5)
    assert_in_step(made, events)


def test_a_still_held_for_seconds_is_not_shown_early(tmp_path):
    times = [Fraction(n, 30) for n in range(30)] + [Fraction(6), Fraction(6) + Fraction(1, 30)]
    made = ingested(film(tmp_path / "a.mkv", times, [6.0], sound=(0, 6.06)), tmp_path)
    assert_in_step(made, [6.0])


def test_a_cut_encoded_anew_begins_with_a_key_frame(tmp_path):
    """Clips are copied from a key frame on; their spacing alone would put them at 0, 50, 100, ..."""
    made = ingested(film(tmp_path / "a.mp4", at_rate(30), EVENTS), tmp_path)
    with av.open(str(made.mp4)) as container:
        keys = [packet.pts * packet.time_base for packet in container.demux(video=0) if packet.is_keyframe]
    for event in EVENTS:
        assert min(abs(float(key) - event) for key in keys) <= 0.0401


def test_what_is_right_already_is_copied(tmp_path):
    source = film(tmp_path / "a.mp4", at_rate(25), EVENTS, options={"bf": "3", "g": "40"})
    made = ingested(source, tmp_path)
    assert made.probe.reencoded is False
    with av.open(str(source)) as container:
        ours = media.frames(made.mp4)
        for frame in container.decode(video=0):
            assert np.array_equal(frame.to_ndarray(format="rgb24"), next(ours))
    assert_in_step(made, EVENTS)
    assert made.mp4.stat().st_size < 1.02 * source.stat().st_size


@pytest.mark.parametrize("suffix", [".mkv", ".mov", ".flv"])
def test_other_containers_are_copied_too(tmp_path, suffix):
    made = ingested(film(tmp_path / f"a{suffix}", at_rate(25), EVENTS), tmp_path)
    assert made.probe.reencoded is False
    assert_in_step(made, EVENTS)


@pytest.mark.slow
def test_a_file_that_claims_25_fps_but_is_not_is_found_out(tmp_path):
    times = at_rate(25)
    for name, odd in {
        "missing.mp4": times[:100] + times[101:],
        "late.mp4": [*times[:100], times[100] + Fraction(1, 60), *times[101:]],
    }.items():
        source = film(tmp_path / name, odd, EVENTS)
        with av.open(str(source)) as container:
            assert float(container.streams.video[0].average_rate) == pytest.approx(25, abs=0.11)
        made = ingested(source, tmp_path)
        assert made.probe.reencoded and made.probe.frames == 250
        assert_in_step(made, EVENTS)


@pytest.mark.parametrize(("start", "end"), [(0.7, 10.0), (0.0, 5.0), (5.0, 10.0), (0.0, 14.0), (0.31, 13.0)])
def test_sound_that_is_late_shorter_or_longer(tmp_path, start, end):
    made = ingested(film(tmp_path / "a.mp4", at_rate(25), EVENTS, sound=(start, end)), tmp_path)
    assert made.probe.frames == 250 and made.probe.status == "ok"
    assert made.probe.sound_offset_s == pytest.approx(start, abs=0.03)
    heard = min(end, 10.0) - start
    assert made.probe.sound_s == pytest.approx(heard, abs=0.06)
    if heard < 9:
        assert "a.mp4 has sound for 5.0 of its 10.0 seconds only" in made.probe.reason
    else:
        assert made.probe.reason == ""
    assert_in_step(made, EVENTS, [e for e in EVENTS if start <= e < end])


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_a_picture_that_starts_late(tmp_path, suffix):
    late = Fraction(852, 1000)
    source = film(
        tmp_path / f"a{suffix}", [t + late for t in at_rate(30)], [t + 0.852 for t in EVENTS], sound=(0, 10.8)
    )
    made = ingested(source, tmp_path)
    assert made.probe.sound_offset_s == pytest.approx(-0.852, abs=0.03)
    assert made.probe.frames == 250
    assert_in_step(made, EVENTS)


def test_an_edit_list_hides_what_it_says(tmp_path):
    whole = film(tmp_path / "whole.mp4", at_rate(25), EVENTS, options={"g": "50"})
    # Copying from the middle of a group of pictures keeps the group and hides its beginning by an edit list.
    ffmpeg("-ss", "2.2", "-i", whole, "-c", "copy", tmp_path / "edited.mp4")
    made = ingested(tmp_path / "edited.mp4", tmp_path)
    assert made.probe.frames == pytest.approx(195, abs=1)
    assert_in_step(made, [t - 2.2 for t in EVENTS[1:]])


def test_a_negative_start_time(tmp_path):
    whole = film(tmp_path / "whole.mp4", at_rate(30), EVENTS)
    ffmpeg("-i", whole, "-c", "copy", "-output_ts_offset", "-0.4", "-avoid_negative_ts", "disabled", tmp_path / "n.mkv")
    made = ingested(tmp_path / "n.mkv", tmp_path)
    assert made.probe.status == "ok"
    first = 10 - made.probe.duration_s
    assert first == pytest.approx(0, abs=0.041) or first == pytest.approx(0.4, abs=0.041)
    assert_in_step(made, [t - first for t in EVENTS])


@pytest.mark.parametrize(("degrees", "corner"), [(90, (-1, 0)), (180, (-1, -1)), (270, (0, -1))])
def test_rotation_is_applied(tmp_path, degrees, corner):
    film(tmp_path / "flat.mp4", at_rate(25, 2), [1.0], sound=(0, 2))
    ffmpeg("-display_rotation", degrees, "-i", tmp_path / "flat.mp4", "-c", "copy", tmp_path / "turned.mp4")
    made = ingested(tmp_path / "turned.mp4", tmp_path)
    assert made.probe.reencoded and made.probe.rotation == (360 - degrees) % 360
    assert (made.probe.width, made.probe.height) == (SIZE if degrees == 180 else SIZE[::-1])
    picture = next(media.frames(made.mp4)).astype(int)
    # The red corner, at the upper left of the stored picture, is where ffmpeg's own player would show it.
    red = picture[:, :, 0] - picture[:, :, 1] > 100
    height, width = red.shape
    quarters = {
        (y, x): red[(height // 8) if y == 0 else -height // 8, (width // 8) if x == 0 else -width // 8]
        for y in (0, -1)
        for x in (0, -1)
    }
    assert [where for where, is_red in quarters.items() if is_red] == [corner]


def test_odd_sizes_ten_bits_and_full_range_become_ordinary(tmp_path):
    ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=s=101x75:r=25:d=1", "-c:v", "ffv1", "-pix_fmt", "yuv444p", tmp_path / "odd.mkv"
    )
    made = ingested(tmp_path / "odd.mkv", tmp_path)
    assert abs(made.probe.width - 101) == abs(made.probe.height - 75) == 1
    film(tmp_path / "ten.mp4", at_rate(25, 1), [0.5], pixel_format="yuv420p10le", sound=(0, 1))
    made = ingested(tmp_path / "ten.mp4", tmp_path)
    assert made.probe.source_pixel_format == "yuv420p10le" and made.probe.reencoded
    assert_in_step(made, [0.5])
    ffmpeg(
        "-f",
        "lavfi",
        "-i",
        "color=white:s=64x64:r=25:d=1",
        "-vf",
        "scale=out_range=pc,format=yuvj420p",
        "-c:v",
        "libx264",
        tmp_path / "full.mp4",
    )
    made = ingested(tmp_path / "full.mp4", tmp_path)
    assert made.probe.reencoded
    with av.open(str(made.mp4)) as container:
        assert next(container.decode(video=0)).to_ndarray()[:64].max() in range(233, 238)


@pytest.mark.parametrize(
    ("stored", "shown"),
    [("720x576", (1920, 1080)), ("576x720", None), ("3840x2160", (1920, 1080)), ("1600x2560", (1080, 1728))],
)
def test_large_and_anamorphic_pictures_are_scaled(tmp_path, stored, shown):
    filters = "setsar=1" if stored != "720x576" else "setsar=64/45"
    ffmpeg(
        "-f",
        "lavfi",
        "-i",
        f"testsrc2=s={stored}:r=25:d=0.2",
        "-vf",
        filters,
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        tmp_path / "a.mp4",
    )
    made = ingested(tmp_path / "a.mp4", tmp_path)
    if stored == "720x576":
        shown = (1024, 576)
    assert (made.probe.width, made.probe.height) == (shown or (576, 720))
    assert made.probe.reencoded == (shown is not None)


def test_no_sound_gives_silence_of_full_length(tmp_path):
    made = ingested(film(tmp_path / "a.mp4", at_rate(25, 2), [1.0], sound=None), tmp_path)
    assert made.probe.status == "no_sound" and "no sound" in made.probe.reason
    assert made.probe.sound_offset_s is None and made.probe.reencoded is False
    assert made.flashes() == [1.0] and not media.sound(made.wav).any()


def test_sound_of_no_length_is_no_sound(tmp_path):
    made = ingested(film(tmp_path / "a.mkv", at_rate(25, 1), [0.6], sound=(0, 0), sound_codec="pcm_s16le"), tmp_path)
    assert made.probe.status == "no_sound"


@pytest.mark.parametrize("sound", [(0, 2), (0.5, 1.0)])
def test_a_sound_track_that_is_silent_throughout_is_named(tmp_path, sound):
    """Videos that were muted before they were passed on have a sound track still."""
    made = ingested(film(tmp_path / "a.mp4", at_rate(25, 2), [], sound=sound), tmp_path)
    assert made.probe.status == "ok" and "silent from beginning to end" in made.probe.reason
    made = ingested(film(tmp_path / "a.mp4", at_rate(25, 2), [0.8], sound=sound), tmp_path)
    assert made.probe.status == "ok" and "silent from" not in made.probe.reason


def test_one_frame_is_enough(tmp_path):
    made = ingested(film(tmp_path / "a.mp4", at_rate(25, 0.04), [], sound=(0, 0.04)), tmp_path)
    assert (made.probe.frames, made.probe.status) == (1, "ok")


def test_the_same_film_gives_the_same_bytes(tmp_path):
    source = film(tmp_path / "a.mp4", at_rate(30, 2), [1.0], sound=(0, 2))
    first = ingested(source, tmp_path)
    before = [path.read_bytes() for path in (first.mp4, first.wav)]
    second = ingested(source, tmp_path)
    assert before == [path.read_bytes() for path in (second.mp4, second.wav)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "frames", "status", "reencoded"),
    [
        ("crowd_silent.mp4", 105, "ok", False),
        ("debate_both.avi", 151, "ok", True),
        ("shot_cuts_2997fps.mp4", 229, "ok", True),
        ("no_audio_track.mp4", 64, "no_sound", True),
    ],
)
def test_real_clips(shared, tmp_path, name, frames, status, reencoded):
    made = ingested(shared / "data/clips" / name, tmp_path)
    assert (made.probe.frames, made.probe.status, made.probe.reencoded) == (frames, status, reencoded)
