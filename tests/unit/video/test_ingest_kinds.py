"""Kinds of files that people have: interlaced, high dynamic range, sound in odd channels or tracks. Each gives right pictures and the voice."""

import subprocess

import av
import cv2
import numpy as np
import pytest

from media_tools import ffmpeg_exe
from odd_films import at_rate, ffmpeg, film, ingested
from talking.video import colours, encoding, listening, media

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def moving(tmp_path_factory):
    """A video of 50 pictures a second of something large that moves, and every second of them."""
    random = np.random.default_rng(0)
    wall = cv2.resize(random.integers(40, 215, (36, 80, 3), dtype=np.uint8), (800, 288), interpolation=cv2.INTER_CUBIC)
    wall = np.clip(wall + random.normal(0, 2, wall.shape), 0, 255).astype(np.uint8)
    pictures = [wall[:, 3 * n : 3 * n + 352] for n in range(80)]
    path = tmp_path_factory.mktemp("moving") / "m.mp4"
    encoding.encode(path, pictures, fps=50, crf=6)
    return path, [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(int) for picture in pictures[::2]][:30]


@pytest.mark.parametrize(
    ("order", "name", "options", "expected"),
    [
        ("tff", "a.mp4", "-c:v libx264 -crf 12 -flags +ilme+ildct -x264-params tff=1", {"tff", "auto"}),
        ("bff", "a.ts", "-c:v mpeg2video -q:v 2 -flags +ilme+ildct", {"bff", "auto"}),
        ("tff", "a.mxf", "-c:v mpeg2video -q:v 2 -flags +ilme+ildct -ar 48000", {"tff", "auto"}),
        ("bff", "a.mkv", "-c:v libx264 -crf 12 -x264-params interlaced=0", {"bff"}),
        # Flagged with the wrong order of fields.
        ("bff", "b.mp4", "-c:v libx264 -crf 12 -flags +ilme+ildct -x264-params tff=1", {"bff"}),
    ],
)
def test_interlaced_pictures_become_whole(tmp_path, moving, order, name, options, expected):
    fields = f"interlace=scan={order}:lowpass=0"
    if name == "b.mp4":
        fields += ",setfield=tff"
    ffmpeg("-i", moving[0], "-vf", fields, *options.split(), tmp_path / name)
    made = ingested(tmp_path / name, tmp_path)
    assert made.probe.deinterlaced in expected and made.probe.reencoded and made.probe.damaged_frames == 0
    whole = [picture.astype(int) for picture in media.frames(made.mp4, 0, 30, pixel_format="gray")]
    with av.open(str(tmp_path / name)) as container:
        raw = [frame.to_ndarray(format="gray").astype(int) for frame in container.decode(video=0)][:30]
    errors = [np.mean([np.abs(a - b).mean() for a, b in zip(found, moving[1], strict=True)]) for found in (whole, raw)]
    assert errors[0] < 0.5 * errors[1]


def test_dv_is_deinterlaced_and_stretched(tmp_path, moving):
    fields = "scale=720:576,interlace=scan=bff:lowpass=0,setsar=64/45"
    ffmpeg(
        "-i",
        moving[0],
        "-t",
        "1",
        "-vf",
        fields,
        "-c:v",
        "dvvideo",
        "-pix_fmt",
        "yuv420p",
        tmp_path / "a.dv",
    )
    probe = ingested(tmp_path / "a.dv", tmp_path).probe
    assert probe.deinterlaced in ("bff", "auto") and (probe.width, probe.height, probe.frames) == (1024, 576, 25)


def test_whole_pictures_that_are_flagged_interlaced_are_left_whole(tmp_path, moving):
    options = "-c:v libx264 -crf 12 -flags +ilme+ildct -x264-params tff=1"
    ffmpeg("-i", moving[0], "-vf", "fps=25", *options.split(), tmp_path / "a.mp4")
    assert ingested(tmp_path / "a.mp4", tmp_path).probe.deinterlaced == ""


def test_whole_pictures_are_never_taken_for_interlaced(shared, tmp_path):
    for name in ("debate_both.avi", "no_audio_track.mp4", "shot_cuts_2997fps.mp4"):
        assert ingested(shared / "data/clips" / name, tmp_path).probe.deinterlaced == ""


def error_of(mp4, original):
    pairs = zip(media.frames(mp4, 20, 60), media.frames(original, 20, 60), strict=True)
    return float(
        np.mean([np.abs(a.astype(int) - b.astype(int)).mean() for k, (a, b) in enumerate(pairs) if k % 10 == 0])
    )


def tags_of(path):
    with av.open(str(path)) as container:
        own = container.streams.video[0].codec_context
        return own.colorspace, own.color_primaries, own.color_trc, own.color_range


def test_hlg_becomes_ordinary(shared, tmp_path):
    made = ingested(shared / "data/odd/hlg_10bit.mp4", tmp_path)
    assert made.probe.tone_mapped == "hlg" and tags_of(made.mp4) == (1, 1, 1, 1)
    assert error_of(made.mp4, shared / "data/filmed/sample.mp4") < 4


@pytest.mark.parametrize("white", [100, 203])
def test_pq_becomes_ordinary(shared, tmp_path, white):
    if " zscale " not in subprocess.run([ffmpeg_exe(), "-filters"], capture_output=True, text=True).stdout:
        pytest.skip("needs an ffmpeg with zscale to make a PQ video")
    original = tmp_path / "original.mp4"
    ffmpeg("-i", shared / "data/filmed/sample.mp4", "-t", "2.4", "-vf", "scale=640:-2", "-crf", "12", original)
    to_pq = f"zscale=tin=bt709:pin=bt709:min=bt709:t=smpte2084:p=bt2020:m=bt2020nc:npl={white},format=yuv420p10le"
    tags = "-color_primaries bt2020 -color_trc smpte2084 -colorspace bt2020nc"
    ffmpeg("-i", original, "-vf", to_pq, "-c:v", "ffv1", *tags.split(), "-c:a", "copy", tmp_path / "a.mkv")
    made = ingested(tmp_path / "a.mkv", tmp_path)
    assert made.probe.tone_mapped == "pq" and tags_of(made.mp4) == (1, 1, 1, 1)
    assert error_of(made.mp4, original) < 5


def test_highlights_are_compressed_and_hues_kept():
    light = np.array([[50.0, 50, 50], [203, 203, 203], [1000, 1000, 1000], [900, 90, 90]])
    ordinary = colours.to_ordinary(light, 1000.0)
    grey = ordinary[:3, 0]
    assert np.all(np.diff(grey) > 0) and grey[2] == pytest.approx(1, abs=0.001) and 0.75 < grey[1] < 0.95
    assert grey[0] == pytest.approx((50 / 203) ** (1 / 2.4), abs=0.01)
    assert ordinary[3, 0] > 2 * ordinary[3, 1]


@pytest.fixture(scope="module")
def speech(shared):
    """Four seconds of speech, 48 kHz."""
    with av.open(str(shared / "data/filmed/sample.mp4")) as container:
        resampler = av.AudioResampler("flt", "mono", 48_000)
        pieces = [p.to_ndarray()[0] for f in container.decode(audio=0) for p in resampler.resample(f)]
    return np.concatenate(pieces)[: 4 * 48_000].astype(np.float32)


NOISE = np.random.default_rng(0).normal(0, 0.08, 4 * 48_000).astype(np.float32)
QUIET = np.zeros(4 * 48_000, np.float32)


def film_with_sound(path, tracks):
    """Write pictures and sound tracks: (channels as an array, layout, options for the stream)."""
    import soundfile

    pictures = film(path.with_suffix(".pictures.mkv"), at_rate(25, 4), [], sound=None)
    words = ["-i", pictures]
    for k, (samples, layout, _) in enumerate(tracks):
        soundfile.write(path.with_suffix(f".{k}.wav"), samples.T, 48_000)
        words += ["-channel_layout", layout, "-i", path.with_suffix(f".{k}.wav")]
    words += ["-map", "0", "-c:v", "copy"]
    for k, (_, _, options) in enumerate(tracks):
        words += ["-map", str(k + 1), *(word.replace("@", f":a:{k}") for word in options.split("|") if word)]
    ffmpeg(*words, path)
    return path


def alike(made, speech):
    """Return how much the voice written is that of `speech`, from 0 to 1."""
    found, wanted = media.sound(made.wav), speech[::3]
    size = 2 * len(found)
    lags = np.fft.irfft(np.fft.rfft(found, size) * np.conj(np.fft.rfft(wanted, size)))
    return float(np.abs(lags).max() / np.sqrt((found**2).sum() * (wanted**2).sum() + 1e-9))


@pytest.mark.parametrize(
    ("layout", "place", "others", "mix", "kept"),
    [
        ("mono", 0, [], "mono", 1),
        ("stereo", 0, [QUIET], "channel 1 of 2", 1),
        ("stereo", 1, [QUIET], "channel 2 of 2", 1),
        ("stereo", 1, [NOISE], "channel 2 of 2", 1),
        ("5.1", 2, [NOISE, NOISE[::-1], NOISE / 2, QUIET, QUIET], "centre of 6", 1),
        ("7.1", 2, [NOISE, NOISE, QUIET, QUIET, NOISE, QUIET, QUIET], "centre of 8", 1),
        ("4.0", 3, [QUIET, QUIET, NOISE], "channel 4 of 4", 1),
    ],
)
def test_the_channel_with_the_voice_is_heard(tmp_path, speech, layout, place, others, mix, kept):
    channels = [*others[:place], speech, *others[place:]]
    path = film_with_sound(tmp_path / "a.mkv", [(np.stack(channels), layout, "-c:a|flac")])
    made = ingested(path, tmp_path)
    assert made.probe.sound_mix == mix and made.probe.sound_channels == len(channels)
    assert alike(made, speech) > 0.97
    with av.open(str(made.mp4)) as container:
        assert (container.streams.audio[0].rate, container.streams.audio[0].channels) == (48_000, kept)


def test_stereo_out_of_phase_is_heard(tmp_path, speech):
    path = film_with_sound(tmp_path / "a.mp4", [(np.stack([speech, -speech]), "stereo", "-c:a|aac")])
    made = ingested(path, tmp_path)
    assert "turned over" in made.probe.sound_mix and alike(made, speech) > 0.97
    with av.open(str(made.mp4)) as container:
        sound = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)
    assert np.corrcoef(sound)[0, 1] > 0.9


def test_two_voices_in_two_channels_are_both_heard(tmp_path, speech):
    half = len(speech) // 2
    first, second = speech.copy(), speech.copy()
    first[half:], second[:half] = 0.0, 0.0
    path = film_with_sound(tmp_path / "a.mp4", [(np.stack([first, second]), "stereo", "-c:a|aac")])
    made = ingested(path, tmp_path)
    assert made.probe.sound_mix == "mean of 2 channels" and alike(made, speech) > 0.95


@pytest.mark.parametrize(
    ("others", "place", "options"),
    [
        ([(QUIET, "-disposition@|default")], 1, "-disposition@|0"),
        ([(NOISE, "-disposition@|default")], 1, "-disposition@|0"),
        ([("speech", "-disposition@|default|-metadata:s@|title=Audio Description")], 1, "-disposition@|0"),
        ([("speech", "-disposition@|comment")], 1, "-disposition@|0"),
        ([("speech", "-disposition@|0")], 1, "-disposition@|default"),
        ([("speech", "-disposition@|default")], 1, "-disposition@|original"),
        ([("speech", "-disposition@|0")], 0, "-disposition@|0"),
    ],
)
def test_the_right_one_of_several_sound_tracks_is_taken(tmp_path, speech, others, place, options):
    tracks = [(speech[::-1] if isinstance(what, str) else what, words) for what, words in others]
    tracks.insert(place, (speech, options))
    path = film_with_sound(tmp_path / "a.mkv", [(s[None], "mono", f"-c@|aac|{words}") for s, words in tracks])
    made = ingested(path, tmp_path)
    assert made.probe.sound_track.startswith(f"{place + 1} of 2")
    assert alike(made, speech) > 0.95


def test_a_track_of_speech_has_more_voice_than_noise(speech):
    assert listening.voice_fraction(speech[::3]) > 0.5
    assert listening.voice_fraction(NOISE[::3]) < 0.02
