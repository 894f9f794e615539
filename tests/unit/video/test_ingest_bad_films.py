"""Files that are no films, damaged films and films that could not be had: each fails alone and says why."""

import faulthandler
import hashlib
import os
import signal
import time
from pathlib import Path

import av
import numpy as np
import pytest

from odd_films import EVENTS, assert_in_step, at_rate, ffmpeg, film, ingested
from talking.video import ingest, probing

pytestmark = pytest.mark.slow

# Pictures of so many bytes that a hole in the file is a hole in the pictures.
FINE = {"libx264": {"crf": "5"}, "mpeg4": {"b": "3M", "qmax": "3"}}


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
            assert "header is missing" in ingested(broken, tmp_path).probe.reason
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
    monkeypatch.setattr(ingest, "_STALL_S", 1)
    monkeypatch.setattr(probing, "scan", lambda source, beat: time.sleep(60))
    # A slow disk may be to blame: the job fails and is tried again.
    with pytest.raises(RuntimeError, match="stood still"):
        ingested(source, tmp_path)
    monkeypatch.setattr(
        probing, "scan", lambda source, beat: (faulthandler.disable(), os.kill(os.getpid(), signal.SIGSEGV))
    )
    assert "crash" in ingested(source, tmp_path).probe.reason
    # As the system ends a process for want of memory: the job fails and is tried again, and no word is said of the film.
    monkeypatch.setattr(probing, "scan", lambda source, beat: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(RuntimeError, match="from outside"):
        ingested(source, tmp_path)
    monkeypatch.setattr(probing, "scan", lambda source, beat: 1 / 0)
    with pytest.raises(RuntimeError, match="trace above"):
        ingested(source, tmp_path)


def test_a_slow_disk_is_given_the_time_it_needs(tmp_path, monkeypatch):
    source = film(tmp_path / "a.mp4", at_rate(25, 2), [], sound=(0, 2))
    monkeypatch.setattr(ingest, "_STALL_S", 0.6)
    packets = probing.packets

    def slow(container, of):
        for k, packet in enumerate(packets(container, of)):
            time.sleep(0.3 if k in (5, 10, 15, 20, 25, 30) else 0)
            yield packet

    monkeypatch.setattr(probing, "packets", slow)
    assert ingested(source, tmp_path).probe.status == "ok"
