"""Frames, cuts and sound of media files, against pictures that carry their own number."""

import functools
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from media_tools import count_frames, ffmpeg_exe
from talking.core import processors
from talking.core.errors import InputError
from talking.runs import devices
from talking.video import cutting, encoding, media

WIDTH, HEIGHT, LENGTH = 128, 96, 230


@functools.cache
def numbered(number: int) -> np.ndarray:
    """Return a picture that shows a number as eight black or white squares, on a ground that moves."""
    x, y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    ground = (90 + 40 * np.sin((x + 3 * number) / 9) * np.cos((y - number) / 7)).astype(np.uint8)
    picture = np.stack([ground, ground, 255 - ground], axis=2)
    for bit in range(8):
        picture[64:80, 16 * bit : 16 * bit + 16] = 255 * (number >> bit & 1)
    return picture


def number_of(picture: np.ndarray) -> int:
    scale = picture.shape[0] / HEIGHT
    row = picture[round(72 * scale)]
    return sum((row[round((16 * bit + 8) * scale)].mean() > 128) << bit for bit in range(8))


def clicking(length: int = LENGTH) -> np.ndarray:
    """Return sound with a click of its own height at the start of every tenth frame."""
    samples = np.zeros(length * 640, np.float32)
    for number in range(0, length, 10):
        samples[number * 640 : number * 640 + 32] = 0.3 + 0.5 * number / length
    return samples


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("film")
    encoding.write_sound(folder / "a.wav", clicking())
    assert encoding.encode(folder / "a.mp4", map(numbered, range(LENGTH)), clicking()) == LENGTH
    return folder / "a.mp4", folder / "a.wav"


def test_every_frame_comes_once_and_in_order(film):
    assert media.size_and_length(film[0]) == (WIDTH, HEIGHT, LENGTH)
    assert count_frames(film[0]) == LENGTH
    assert [number_of(picture) for picture in media.frames(film[0])] == list(range(LENGTH))


@pytest.mark.parametrize(
    "numbers", [[0], [229], [7, 8, 9], [49, 50, 51], [3, 120, 226], [16, 17, 66, 199], range(230), []]
)
def test_chosen_frames_are_those_of_a_whole_decode(film, numbers):
    whole = list(media.frames(film[0]))
    found = list(media.frames_at(film[0], reversed(numbers)))
    assert [number for number, _ in found] == list(numbers)
    assert all(np.array_equal(picture, whole[number]) for number, picture in found)


def test_key_frames_before_chosen_frames_are_those_of_a_whole_decode(film):
    whole = list(media.frames(film[0]))
    with av.open(str(film[0])) as container:
        keys = [round(frame.pts * frame.time_base * 25) for frame in container.decode(video=0) if frame.key_frame]
    found = list(media.key_frames_before(film[0], [229, keys[1], 3, keys[1] + 2, keys[-1] + 5]))
    assert [number for number, _ in found] == sorted({keys[0], keys[1], keys[-1]})
    assert all(np.array_equal(picture, whole[number]) for number, picture in found)


def test_parts_of_pictures_are_those_of_whole_ones(film):
    whole = dict(media.frames_at(film[0], [3, 60, 61]))
    for number, parts in media.parts_at(film[0], [3, 60, 61]):
        assert (parts.width, parts.height) == (WIDTH, HEIGHT)
        for left, top, right, bottom in [
            (0, 0, WIDTH, HEIGHT),
            (2, 4, 33, 31),
            (WIDTH - 4, HEIGHT - 2, WIDTH, HEIGHT),
            (6, 0, 7, 1),
        ]:
            assert np.array_equal(parts.rgb(left, top, right, bottom), whole[number][top:bottom, left:right])


def test_without_a_gpu_that_decodes_pictures_come_from_processors(film, monkeypatch):
    whole = list(media.frames(film[0]))
    # A GPU that is not there.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-none")
    monkeypatch.setenv(processors.GPUS, "1")
    media._gpu_decodes.cache_clear()
    assert all(map(np.array_equal, media.frames(film[0]), whole))
    media._gpu_decodes.cache_clear()


@pytest.mark.skipif(not devices.present(), reason="needs a GPU")
def test_a_gpu_gives_the_pictures_that_processors_give(film, monkeypatch):
    whole, fast = list(media.frames(film[0])), list(media.frames(film[0], fast=True))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", devices.present()[0])
    monkeypatch.setenv(processors.GPUS, "1")
    media._gpu_decodes.cache_clear()
    assert media._gpu_decodes(str(film[0]))
    assert all(map(np.array_equal, media.frames(film[0]), whole))
    assert all(map(np.array_equal, media.frames(film[0], fast=True), fast))
    assert all(np.array_equal(picture, whole[number]) for number, picture in media.frames_at(film[0], [3, 120, 226]))
    media._gpu_decodes.cache_clear()


def test_chosen_frames_outside_the_video_are_left_out(film, tmp_path):
    assert [number for number, _ in media.frames_at(film[0], [-1, 5, 5, 230])] == [5]
    (tmp_path / "none.mp4").touch()
    assert list(media.frames_at(tmp_path / "none.mp4", [0])) == []


@pytest.mark.parametrize(("start", "end"), [(0, 1), (49, 52), (50, 51), (51, 130), (99, 100), (229, 230), (17, None), (200, 999), (30, 30), (230, 240), (40, 20)])  # fmt: skip
def test_any_span_is_exact(film, start, end):
    found = [number_of(picture) for picture in media.frames(film[0], start, end)]
    assert found == list(range(LENGTH))[start:end]


def test_pictures_are_close_to_what_was_written(film):
    for number, picture in enumerate(media.frames(film[0], 0, 5)):
        assert np.abs(picture.astype(int) - numbered(number)).mean() < 6


@pytest.mark.parametrize(("height", "pixel_format", "shape"), [(48, "rgb24", (48, 64, 3)), (96, "gray", (96, 128)), (None, "bgr24", (96, 128, 3))])  # fmt: skip
def test_sizes_and_formats(film, height, pixel_format, shape):
    pictures = list(media.frames(film[0], 100, 103, height=height, pixel_format=pixel_format))
    assert [p.shape for p in pictures] == [shape] * 3
    assert [number_of(p if p.ndim == 3 else p[:, :, None]) for p in pictures] == [100, 101, 102]
    if pixel_format == "bgr24":
        assert (pictures[0][:60, :, 0].astype(int) - pictures[0][:60, :, 2]).mean() > 50


def test_fast_pictures_differ_by_little(film):
    for fast, exact in zip(media.frames(film[0], fast=True), media.frames(film[0]), strict=True):
        assert np.abs(fast.astype(int) - exact).mean() < 3


@pytest.mark.parametrize("shift_s", [0, Fraction(7, 5)])
@pytest.mark.parametrize("gop", ["12", "300"])
def test_files_that_were_only_copied_are_exact_too(tmp_path, shift_s, gop):
    """Stacked B-frames, key frames far apart, and a first picture that is not at time 0."""
    path = tmp_path / "b.mp4"
    with av.open(str(path), "w") as out:
        options = {"bf": "8", "b_strategy": "0", "g": gop, "x264-params": "b-pyramid=normal:scenecut=0"}
        stream = out.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 25_000)
        for number in range(LENGTH):
            frame = av.VideoFrame.from_ndarray(numbered(number), format="rgb24")
            frame.pts, frame.time_base = 1000 * number + int(shift_s * 25_000), Fraction(1, 25_000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    for start, end in [(0, 230), (11, 26), (12, 13), (23, 25), (100, 103), (228, 230)]:
        assert [number_of(p) for p in media.frames(path, start, end)] == list(range(start, end))


@pytest.mark.parametrize(
    "options",
    [
        {"bf": "8", "b_strategy": "0", "x264-params": "b-pyramid=normal:scenecut=0", "g": "40"},
        {"profile": "baseline", "g": "50"},
        {"bf": "3", "g": "50", "x264-params": "scenecut=0"},
        {"bf": "3", "g": "25", "x264-params": "open-gop=1:scenecut=0"},
        {"bf": "3", "g": "300"},
    ],
)
@pytest.mark.parametrize("most_held", [256, 20])
def test_chosen_frames_of_films_encoded_elsewhere_are_those_of_a_whole_decode(
    tmp_path, monkeypatch, options, most_held
):
    """Also where what follows the last chosen frame before a key frame is left out."""
    monkeypatch.setattr(media, "_MOST_HELD", most_held)
    with av.open(str(tmp_path / "a.mp4"), "w") as out:
        stream = out.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(LENGTH):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(number), format="rgb24")))
        out.mux(stream.encode())
    whole = list(media.frames(tmp_path / "a.mp4"))
    for chosen in (
        range(0, LENGTH, 25),
        range(2, LENGTH, 25),
        range(23, LENGTH, 25),
        range(0, LENGTH, 4),
        [48, 50],
        [49],
    ):
        found = list(media.frames_at(tmp_path / "a.mp4", chosen))
        assert [number for number, _ in found] == list(chosen)
        assert all(np.array_equal(picture, whole[number]) for number, picture in found)


def test_what_follows_the_last_chosen_frame_before_a_key_frame_is_not_decoded(tmp_path, monkeypatch):
    with av.open(str(tmp_path / "a.mp4"), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"bf": "0", "g": "50", "x264-params": "scenecut=0"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(LENGTH):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(number), format="rgb24")))
        out.mux(stream.encode())
    given = []
    needed = media._needed
    monkeypatch.setattr(media, "_needed", lambda *of: (given.append(pair) or pair for pair in needed(*of)))
    found = [number for number, _ in media.frames_at(tmp_path / "a.mp4", range(0, LENGTH, 25))]
    assert found == list(range(0, LENGTH, 25))
    # 26 packets of each group; after the last chosen frame the decoder, which is some pictures behind, takes a few more.
    assert 5 * 26 <= len(given) <= 5 * 26 + 16 < LENGTH


def test_a_picture_that_cannot_be_decoded_does_not_shift_the_others(film, tmp_path):
    with av.open(str(film[0])) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data = bytearray(film[0].read_bytes())
    for position, size in places[60:63]:
        data[position : position + size] = bytes(size)
    (tmp_path / "hurt.mp4").write_bytes(data)
    found = [number_of(p) for p in media.frames(tmp_path / "hurt.mp4")]
    assert len(found) == LENGTH
    assert found[:55] == list(range(55)) and found[100:] == list(range(100, LENGTH))


def test_a_file_of_no_bytes_has_nothing(tmp_path):
    (tmp_path / "none.mp4").touch()
    (tmp_path / "none.wav").touch()
    assert list(media.frames(tmp_path / "none.mp4")) == []
    assert media.size_and_length(tmp_path / "none.mp4") == (0, 0, 0)
    assert count_frames(tmp_path / "none.mp4") == 0
    assert len(media.sound(tmp_path / "none.wav")) == 0
    assert encoding.encode(tmp_path / "still_none.mp4", []) == 0
    assert (tmp_path / "still_none.mp4").stat().st_size == 0
    cutting.cut_all(tmp_path / "none.mp4", tmp_path / "none.wav", [])


def test_sound_is_counted_in_frames(film, tmp_path):
    whole = media.sound(film[1])
    assert len(whole) == LENGTH * 640
    assert np.array_equal(media.sound(film[1], 20, 22), whole[20 * 640 : 22 * 640])
    encoding.write_sound(tmp_path / "other.wav", np.zeros(100), 8000)
    with pytest.raises(InputError, match=r"other\.wav is not 16000 Hz mono"):
        media.sound(tmp_path / "other.wav")


def clip_sound(path: Path) -> np.ndarray:
    """Return an mp4's sound as players place it: from time 0 on, 16 kHz."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    samples = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    return np.concatenate([np.zeros(max(0, round(frames[0].time * 16_000))), samples])


def test_cuts_are_exact(film, tmp_path, monkeypatch):
    spans = [(51, 130), (0, 25), (100, 230), (129, 130), (10, 40), (90, 223)]
    frames = []
    decoded = media.decoded
    monkeypatch.setattr(media, "decoded", lambda *a, **k: (frames.append(f.pts) or f for f in decoded(*a, **k)))
    cuts = [(a, b, tmp_path / f"{a}_{b}/video.mp4", tmp_path / f"{a}_{b}/audio.wav") for a, b in spans]
    cutting.cut_all(*film, cuts)
    monkeypatch.undo()
    # A key frame comes every 50 frames; from there on nothing is decoded, up to the last few frames.
    assert 49 + 0 + 0 + 1 + 30 + 10 <= len(frames) <= 49 + 1 + 30 + 10 + 6 * 4
    whole, samples = list(media.frames(film[0])), media.sound(film[1])
    for start, end, mp4, wav in cuts:
        pictures = list(media.frames(mp4))
        assert count_frames(mp4) == media.size_and_length(mp4)[2] == len(pictures) == end - start
        assert [number_of(p) for p in pictures] == list(range(start, end))
        for ours, theirs in zip(pictures, whole[start:end], strict=True):
            assert np.abs(ours.astype(int) - theirs).mean() < 4
        if start == 100:
            assert all(map(np.array_equal, pictures[:-4], whole[start:end]))
        assert np.array_equal(media.sound(wav), samples[start * 640 : end * 640])
        if end - start > 20:
            played = clip_sound(mp4)
            assert len(played) >= (end - start) * 640
            wanted = samples[start * 640 : end * 640]
            lag = np.argmax([played[k : k + 10_000] @ wanted[48 : 48 + 10_000] for k in range(97)]) - 48
            assert abs(lag) <= 16


@pytest.fixture(scope="module", params=[(48_000, 2), (44_100, 2), (22_050, 1)])
def noisy(request, tmp_path_factory) -> tuple[Path, int, int, np.ndarray]:
    """Return a folder with a video whose sound is noise, the sound's rate and channels, and its samples."""
    rate, channels = request.param
    folder = tmp_path_factory.mktemp("noisy")
    samples = np.random.default_rng(0).normal(0, 0.1, (channels, LENGTH * rate // 25)).astype(np.float32)
    samples = np.apply_along_axis(np.convolve, 1, samples, np.hanning(9) / 4, mode="same")
    with encoding.Mp4(folder / "a.mp4") as out:
        out.add_pictures(WIDTH, HEIGHT)
        out.add_sound(rate, channels)
        for number in range(LENGTH):
            out.picture(numbered(number))
            out.sound(samples[:, number * rate // 25 : (number + 1) * rate // 25])
    encoding.write_sound(folder / "a.wav", clicking())
    return folder, rate, channels, samples


@pytest.mark.parametrize(("start", "end"), [(0, 60), (51, 130), (180, 230), (53, 61)])
def test_a_clip_keeps_the_rate_the_channels_and_the_time_of_the_sound(noisy, tmp_path, start, end):
    folder, rate, channels, samples = noisy
    cutting.cut_all(folder / "a.mp4", folder / "a.wav", [(start, end, tmp_path / "v.mp4", tmp_path / "v.wav")])
    with av.open(str(tmp_path / "v.mp4")) as container:
        audio = container.streams.audio[0]
        assert (audio.rate, audio.channels) == (rate, channels)
        frames = list(container.decode(audio))
    assert frames[0].time == 0
    heard = np.concatenate([frame.to_ndarray() for frame in frames], axis=1)
    for ours, theirs in zip(heard, samples[:, start * rate // 25 : end * rate // 25], strict=True):
        assert len(theirs) <= len(ours) < len(theirs) + 2048
        assert np.corrcoef(ours[: len(theirs)], theirs)[0, 1] > 0.8


def test_a_cut_too_short_to_copy_anything(film, tmp_path):
    cutting.cut_all(*film, [(51, 60, tmp_path / "v.mp4", tmp_path / "a.wav")])
    assert [number_of(p) for p in media.frames(tmp_path / "v.mp4")] == list(range(51, 60))


def test_a_cut_outside_the_video_is_refused(film, tmp_path):
    for start, end in [(-1, 5), (5, 5), (200, 231)]:
        with pytest.raises(InputError, match="has 230 frames"):
            cutting.cut_all(*film, [(start, end, tmp_path / "v.mp4", tmp_path / "a.wav")])


def test_a_cut_that_fails_leaves_no_piece(film, tmp_path, monkeypatch):
    def failing(*arguments):
        for number, frame in enumerate(decoded(*arguments)):
            if number == 5:
                raise OSError("disk is gone")
            yield frame

    decoded = media.decoded
    monkeypatch.setattr(media, "decoded", failing)
    with pytest.raises(OSError, match="disk is gone"):
        cutting.cut_all(*film, [(10, 40, tmp_path / "v.mp4", tmp_path / "a.wav")])
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".mp4"] == []


@pytest.mark.parametrize(
    "options",
    [
        {"bf": "8", "b_strategy": "0", "x264-params": "b-pyramid=normal:scenecut=0", "g": "40"},
        {"profile": "baseline", "g": "30"},
        {"profile": "main", "bf": "2", "g": "24", "x264-params": "sps-id=1:slices=4:open-gop=0"},
        {"bf": "3", "g": "25", "x264-params": "open-gop=1:scenecut=0"},
        {"bf": "3", "g": "300"},
    ],
)
def test_cuts_of_films_encoded_elsewhere_are_exact_for_every_reader(tmp_path, options):
    path, wav = tmp_path / "a.mp4", tmp_path / "a.wav"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(LENGTH):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(number), format="rgb24")))
        out.mux(stream.encode())
    encoding.write_sound(wav, clicking())
    whole = list(media.frames(path))
    for start, end in [(0, 57), (13, 118), (80, 161), (201, 230)]:
        cutting.cut_all(path, wav, [(start, end, tmp_path / "v.mp4", tmp_path / "v.wav")])
        pictures = list(media.frames(tmp_path / "v.mp4"))
        assert [number_of(p) for p in pictures] == list(range(start, end))
        assert max(np.abs(a.astype(int) - b).mean() for a, b in zip(pictures, whole[start:end], strict=True)) < 4
        assert [number_of(p) for p in media.frames(tmp_path / "v.mp4", 20, 29)] == list(range(start + 20, start + 29))
        reader, shown = cv2.VideoCapture(str(tmp_path / "v.mp4")), []
        while (got := reader.read())[0]:
            shown.append(number_of(got[1]))
        assert shown == list(range(start, end))
        ffmpeg = [ffmpeg_exe(), "-v", "warning", "-xerror", "-i", tmp_path / "v.mp4", "-f", "null", "-"]
        assert subprocess.run(ffmpeg, capture_output=True, check=True).stderr == b""


def test_a_clip_is_not_larger_than_its_piece_of_the_video(film, tmp_path):
    cutting.cut_all(*film, [(0, LENGTH, tmp_path / "v.mp4", tmp_path / "a.wav")])
    assert (tmp_path / "v.mp4").stat().st_size < 1.2 * film[0].stat().st_size


def test_batches():
    assert list(media.batches(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(media.batches([], 2)) == []


@pytest.mark.parametrize(("width", "height"), [(192, 112), (320, 180)])
def test_the_same_pictures_are_encoded_into_the_same_bytes(width, height, tmp_path):
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 255, (height // 4, width // 4, 3), dtype=np.uint8).repeat(4, axis=0).repeat(4, axis=1)
    contents = set()
    for _ in range(20):
        encoding.encode(tmp_path / "v.mp4", [np.roll(blocks, 2 * n, axis=1) for n in range(24)])
        contents.add((tmp_path / "v.mp4").read_bytes())
    assert len(contents) == 1
