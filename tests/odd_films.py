"""Films whose every flash comes with a click, what ingest makes of them, and whether both are where they were."""

import dataclasses
import json
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from media_tools import count_frames, ffmpeg_exe
from talking.video import ingest, media
from talking.video.probe import Probe

SETTINGS = ingest.Settings()
SIZE = (96, 64)


@dataclasses.dataclass
class Made:
    probe: Probe
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
        pictures = []
        for light in (30, 220):
            picture = (noise + light).astype(np.uint8)
            picture[: size[1] // 4, : size[0] // 4] = (255, 0, 0)
            pictures.append(av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pixel_format))
        for time in times:
            frame = pictures[any(event <= float(time) + 1e-6 < event + 0.2 for event in events)]
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


def ffmpeg(*arguments: str | Path) -> None:
    subprocess.run([ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)], check=True)
