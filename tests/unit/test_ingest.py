"""Films whose every flash comes with a click, in all the ways that films are odd: after ingest both are where they were."""

import dataclasses
import hashlib
import json
import os
import subprocess
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from media_tools import count_frames, ffmpeg_exe
from talking import ingest, media, probing

SETTINGS = ingest.Settings()
SIZE = (96, 64)
# Pictures of so many bytes that a hole in the file is a hole in the pictures.
FINE = {"libx264": {"crf": "5"}, "mpeg4": {"b": "3M", "qmax": "3"}}


@dataclasses.dataclass
class Made:
    probe: ingest.Probe
    mp4: Path
    wav: Path

    def flashes(self) -> list[float]:
        """Seconds at which the picture turns bright."""
        bright = np.array([picture.mean() > 150 for picture in media.frames(self.mp4, height=8, pixel_format="gray")])
        return [n / 25 for n in np.flatnonzero(bright & ~np.concatenate([[False], bright[:-1]]))]

    def clicks(self) -> list[float]:
        return clicks_of(media.sound(self.wav), 16_000)

    def clicks_in_mp4(self) -> list[float]:
        with av.open(str(self.mp4)) as container:
            samples, rate, start = [], 0, None
            for frame in container.decode(audio=0):
                start = frame.time if start is None else start
                rate = frame.sample_rate
                samples.append(frame.to_ndarray().mean(axis=0))
        return [start + t for t in clicks_of(np.concatenate(samples), rate)]


def clicks_of(samples: np.ndarray, rate: int) -> list[float]:
    loud = np.flatnonzero(np.abs(samples) > 0.25)
    return [k / rate for i, k in enumerate(loud) if i == 0 or k - loud[i - 1] > rate // 4]


def film(
    path: Path,
    times: list[Fraction],
    events: list[float],
    size: tuple[int, int] = SIZE,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    sound: tuple[float, float] | None = (0.0, 10.0),
    sound_codec: str = "aac",
    rate: int = 44_100,
    options: dict[str, str] | None = None,
) -> Path:
    """Write a film with a picture at each of `times`, bright for 0.2 s from each event on, and a click at each event.

    `sound` is when the sound starts and ends.
    """
    with av.open(str(path), "w") as out:
        video = out.add_stream(codec, rate=25, options=options or {})
        video.width, video.height, video.pix_fmt = *size, pixel_format
        base = Fraction(1, 25 if codec == "mpeg4" else 90_000)
        video.codec_context.time_base = base
        audio = out.add_stream(sound_codec, rate=rate, layout="stereo") if sound else None
        noise = np.random.default_rng(0).integers(0, 25, (size[1], size[0], 3))
        for time in times:
            is_bright = any(event <= float(time) + 1e-6 < event + 0.2 for event in events)
            picture = (noise + (220 if is_bright else 30)).astype(np.uint8)
            picture[: size[1] // 4, : size[0] // 4] = (255, 0, 0)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pixel_format)
            frame.pts, frame.time_base = round(time / base), base
            out.mux(video.encode(frame))
        out.mux(video.encode())
        if audio is not None:
            start, end = sound
            samples = np.zeros((2, round((end - start) * rate)), np.float32)
            for event in events:
                at = round((event - start) * rate)
                if at >= 0:
                    samples[:, at : at + rate // 100] = 0.8
            for at in range(0, samples.shape[1], 1024):
                block = np.ascontiguousarray(samples[:, at : at + 1024])
                frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
                frame.sample_rate, frame.pts, frame.time_base = rate, at + round(start * rate), Fraction(1, rate)
                out.mux(audio.encode(frame))
            out.mux(audio.encode())
    return path


def at_rate(fps: float | Fraction, seconds: float = 10.0) -> list[Fraction]:
    return [n / Fraction(fps) for n in range(round(seconds * fps))]


def ingested(source: Path, folder: Path, **arguments) -> Made:
    mp4, wav, probe = folder / "out/v.mp4", folder / "out/v.wav", folder / "out/v.json"
    settings = arguments.pop("settings", SETTINGS)
    result = ingest.ingest(source, mp4, wav, probe, settings, **arguments)
    assert json.loads(probe.read_text()) == dataclasses.asdict(result)
    if result.status == "failed":
        assert mp4.stat().st_size == wav.stat().st_size == 0
        assert source.name in result.reason or arguments.get("reason")
        assert result.reason.endswith(".") and "\n" not in result.reason.replace(str(source), "")
    else:
        width, height, count = media.size_and_length(mp4)
        assert (width, height, count) == (result.width, result.height, result.frames)
        assert count_frames(mp4) == count == sum(1 for _ in media.frames(mp4, height=8))
        assert len(media.sound(wav)) == count * 640
        assert width % 2 == height % 2 == 0 and min(width, height) <= 1080
        with av.open(str(mp4)) as container:
            video, audio = container.streams.video[0], container.streams.audio[0]
            assert (video.codec_context.name, video.codec_context.pix_fmt) == ("h264", "yuv420p")
            assert audio.codec_context.name == "aac"
            stamps = [frame.time for frame in container.decode(video)]
        assert np.allclose(stamps, np.arange(count) / 25, atol=1e-3)
    return Made(result, mp4, wav)


def assert_in_step(made: Made, events: list[float], clicks: list[float] | None = None) -> None:
    """Every flash and every click is within a frame of its event, all along."""
    assert len(made.flashes()) == len(events)
    assert np.allclose(made.flashes(), events, atol=0.0401)
    expected = events if clicks is None else clicks
    for found in (made.clicks(), made.clicks_in_mp4()):
        assert len(found) == len(expected)
        assert np.allclose(found, expected, atol=0.0201)


EVENTS = [1.0, 2.5, 4.2, 6.0, 9.0]


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


def ffmpeg(*arguments: str | Path) -> None:
    subprocess.run([ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)], check=True)


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


def test_one_frame_is_enough(tmp_path):
    made = ingested(film(tmp_path / "a.mp4", at_rate(25, 0.04), [], sound=(0, 0.04)), tmp_path)
    assert (made.probe.frames, made.probe.status) == (1, "ok")


def test_no_picture(tmp_path):
    import soundfile

    soundfile.write(tmp_path / "a.wav", np.zeros(1600), 16_000)
    assert "no moving picture" in ingested(tmp_path / "a.wav", tmp_path).probe.reason
    ffmpeg("-f", "lavfi", "-i", "color=red:s=64x64", "-frames:v", "1", tmp_path / "cover.png")
    ffmpeg("-i", tmp_path / "a.wav", "-i", tmp_path / "cover.png", "-map", "0", "-map", "1", "-c:v", "copy", "-disposition:v", "attached_pic", tmp_path / "cover.mp4")  # fmt: skip
    assert "no moving picture" in ingested(tmp_path / "cover.mp4", tmp_path).probe.reason


def test_files_that_are_no_videos(tmp_path):
    (tmp_path / "empty.mp4").touch()
    assert "is empty" in ingested(tmp_path / "empty.mp4", tmp_path).probe.reason
    (tmp_path / "text.mp4").write_text("this is a text\n" * 100)
    assert "no video" in ingested(tmp_path / "text.mp4", tmp_path).probe.reason
    assert "does not exist" in ingested(tmp_path / "gone.mp4", tmp_path).probe.reason
    assert "not a file" in ingested(tmp_path, tmp_path).probe.reason
    assert "not a file" in ingested(Path("/dev/zero"), tmp_path).probe.reason
    os.mkfifo(tmp_path / "pipe.mp4")
    assert "not a file" in ingested(tmp_path / "pipe.mp4", tmp_path).probe.reason


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{other}\n#EXT-X-ENDLIST\n"),
        ("list.mp4", "ffconcat version 1.0\nfile '{other}'\n"),
        ("list.ffconcat", "ffconcat version 1.0\nfile '{other}'\n"),
        ("list.sdp", "v=0\nm=video 5004 RTP/AVP 96\n"),
    ],
)
def test_a_play_list_opens_no_other_file(tmp_path, name, text):
    other = film(tmp_path / "other.mp4", at_rate(25, 1), [], sound=(0, 1))
    (tmp_path / name).write_text(text.format(other=other))
    assert ingested(tmp_path / name, tmp_path).probe.status == "failed"


@pytest.mark.parametrize(
    "name",
    [
        "a b.mp4",
        'it\'s "it".mp4',
        "-i.mp4",
        "été 谈话 🎬.mp4",
        "two\nlines.mp4",
        "{video}.mp4",
        "50%03d.mp4",
        "concat:a|b.mp4",
        "$(touch x).mp4",
        "http:x.mp4",
    ],
)
def test_any_name_will_do(tmp_path, monkeypatch, name):
    source = film(tmp_path / "plain.mp4", at_rate(25, 0.4), [], sound=(0, 0.4)).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert ingested(Path(source.name), tmp_path).probe.status == "ok"


def test_a_file_cut_off_is_not_taken_for_whole(tmp_path):
    for suffix, begins in {".mkv": 0.6, ".avi": 0.6, ".mp4": 0.6}.items():
        codec = "mpeg4" if suffix == ".avi" else "libx264"
        whole = film(
            tmp_path / f"whole{suffix}", at_rate(25), EVENTS, codec=codec, options=FINE[codec], sound_codec="ac3"
        )
        if suffix == ".mp4":
            broken = tmp_path / "head_gone.mp4"
            broken.write_bytes(whole.read_bytes()[: int(begins * whole.stat().st_size)])
            assert "head is missing" in ingested(broken, tmp_path).probe.reason
            ffmpeg("-i", whole, "-c", "copy", "-movflags", "+faststart", tmp_path / "fast.mp4")
            whole = tmp_path / "fast.mp4"
        broken = tmp_path / f"broken{suffix}"
        broken.write_bytes(whole.read_bytes()[: int(begins * whole.stat().st_size)])
        made = ingested(broken, tmp_path)
        assert made.probe.status == "failed" and "breaks off at second" in made.probe.reason
        second = float(made.probe.reason.split("second ")[1].split(":")[0])
        assert second == pytest.approx(6, abs=1.5)


@pytest.mark.parametrize(
    ("suffix", "codec"), [(".mp4", "libx264"), (".mkv", "libx264"), (".ts", "libx264"), (".avi", "mpeg4")]
)
def test_a_hole_in_the_middle_is_found(tmp_path, suffix, codec):
    source = film(tmp_path / f"a{suffix}", at_rate(25), EVENTS, codec=codec, options=FINE[codec], size=(192, 128))
    data = bytearray(source.read_bytes())
    middle, length = len(data) // 2, len(data) // 5
    data[middle : middle + length] = bytes(length)
    source.write_bytes(data)
    made = ingested(source, tmp_path)
    assert made.probe.status == "failed" and "second" in made.probe.reason


def test_a_little_damage_is_written_down(tmp_path):
    source = film(tmp_path / "a.mp4", at_rate(25), EVENTS, options={"crf": "5", "bf": "0"}, size=(192, 128))
    with av.open(str(source)) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data = bytearray(source.read_bytes())
    position, size = places[120]
    data[position : position + size] = bytes(size)
    source.write_bytes(data)
    made = ingested(source, tmp_path)
    assert made.probe.status == "ok" and made.probe.reencoded
    assert 1 <= made.probe.damaged_frames <= 12
    assert_in_step(made, EVENTS)


def test_the_checksum_of_the_sheet_is_compared(tmp_path):
    source = film(tmp_path / "a.mp4", at_rate(25, 1), [], sound=(0, 1))
    right = hashlib.sha256(source.read_bytes()).hexdigest()
    assert ingested(source, tmp_path, sha256=right.upper()).probe.sha256 == right
    made = ingested(source, tmp_path, sha256="0" * 64)
    assert made.probe.status == "failed" and right in made.probe.reason


def test_a_film_that_could_not_be_fetched_says_why(tmp_path):
    assert (
        ingested(tmp_path / "x.bin", tmp_path, reason="http://x could not be had.").probe.reason
        == "http://x could not be had."
    )


def test_a_conversion_that_hangs_or_crashes_fails_one_video_only(tmp_path, monkeypatch):
    source = film(tmp_path / "a.mp4", at_rate(25, 1), [], sound=(0, 1))
    monkeypatch.setattr(ingest, "_OPEN_LIMIT_S", 1)
    monkeypatch.setattr(probing, "scan", lambda source: time.sleep(60))
    assert "time allowed" in ingested(source, tmp_path).probe.reason
    monkeypatch.setattr(probing, "scan", lambda source: os.kill(os.getpid(), 9))
    assert "crash" in ingested(source, tmp_path).probe.reason
    monkeypatch.setattr(probing, "scan", lambda source: 1 / 0)
    with pytest.raises(RuntimeError, match="trace above"):
        ingested(source, tmp_path)


def test_the_same_film_gives_the_same_bytes(tmp_path):
    source = film(tmp_path / "a.mp4", at_rate(30, 2), [1.0], sound=(0, 2))
    first = ingested(source, tmp_path)
    before = [path.read_bytes() for path in (first.mp4, first.wav)]
    second = ingested(source, tmp_path)
    assert before == [path.read_bytes() for path in (second.mp4, second.wav)]


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
