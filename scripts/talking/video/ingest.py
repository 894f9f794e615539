"""Convert an input video to what every stage reads: constant 25 fps H.264, 16 kHz sound, and a probe.

Time 0 is the first picture that can be shown. Frame n is the last picture that begins before n / 25 s plus half a frame, so
no picture is more than half a frame off its time, and sample k belongs to second k / 16000: pictures and sound are
placed by the file's own time stamps all along, never by counting. Pictures that are constant 25 fps H.264 of fitting size
already are copied as they are, and so is whole AAC sound.
"""

import gc
import json
import math
import multiprocessing
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import av
import numpy as np

from talking.core import checksums, cli
from talking.core.atomic import atomic_write
from talking.core.errors import InputError
from talking.video import first_picture, listening, media, probing, timeline
from talking.video.encoding import Mp4
from talking.video.probe import Probe

# Without a single packet of a file for so long, reading it counts as hanging.
_STALL_S = 300
# Signals by which a decoder ends that hangs in a video.
_CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL)
# Longest part of the video without sound that is not reported.
_UNHEARD_S = 1.0


@dataclass
class Settings:
    """Settings of ingest."""

    crf: int = cli.setting(22, "quality of pictures that must be re-encoded: H.264 CRF, lower is better")
    preset: str = cli.setting("ultrafast", "x264 preset: slower ones make smaller files")
    max_lines: int = cli.setting(1080, "shorter side of larger pictures after scaling, in pixels")
    max_damage_s: float = cli.setting(0.5, "seconds of undecodable pictures above which a video counts as broken")
    max_seconds_per_second: float = cli.setting(
        60.0, "seconds allowed for converting each second of a video; a job that needs more fails and is retried"
    )


def ingest(
    source: Path,
    mp4: Path,
    wav: Path,
    probe: Path,
    settings: Settings,
    sha256: str = "",
    reason: str = "",
    threads: int = 2,
) -> Probe:
    """Write a video's `media/` files; an unusable one gives an empty mp4, an empty wav and a probe with the reason.

    `sha256` is the checksum that the file must have, if any; `reason` why it could not even be downloaded, if so.
    """
    result = Probe(path=str(source))
    with atomic_write(mp4) as mp4_aside, atomic_write(wav) as wav_aside:
        try:
            if reason:
                raise InputError(reason)
            probing.check_file(source)
            result.sha256 = checksums.sha256(source)
            if sha256 and result.sha256 != sha256.lower():
                raise InputError(
                    f"{source} has the SHA-256 {result.sha256}, not the sample sheet's; get it again or correct the sample sheet."
                )
            result = _in_child(_convert, source, mp4_aside, wav_aside, settings, threads, result)
        except InputError as error:
            result = Probe(reason=str(error), path=str(source), sha256=result.sha256)
            for aside in (mp4_aside, wav_aside):
                aside.write_bytes(b"")
    with atomic_write(probe) as aside:
        aside.write_text(json.dumps(asdict(result), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return result


def _in_child(work: Callable[..., Probe], *arguments: object) -> Probe:
    """Run work on an input file in a separate process, so that a decoder that crashes or hangs fails one video only."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_send, args=(sender, work, arguments))
    child.start()
    sender.close()
    try:
        outcome = receiver.recv()
    except EOFError:
        outcome = None
    child.join()
    source = arguments[0]
    if child.exitcode == -signal.SIGALRM:
        # A slow disk or a busy machine may be the cause: the video is not blamed.
        raise RuntimeError(
            f"converting {source} stood still for {_STALL_S} s, or took more than max_seconds_per_second allows; if it does "
            "so again, convert it to an ordinary mp4 first"
        )
    if -child.exitcode in _CRASHES:
        raise InputError(
            f"{source} made the decoder crash (signal {-child.exitcode}); convert it to an ordinary mp4 first."
        )
    if child.exitcode < 0:
        # By the system for memory or by a user: the video is not blamed.
        raise RuntimeError(f"converting {source} was ended from outside (signal {-child.exitcode})")
    if outcome is None:
        raise RuntimeError(f"converting {source} failed; see the trace above")
    if isinstance(outcome, InputError | OSError):
        raise outcome
    return outcome


def _send(sender: Connection, work: Callable[..., Probe], arguments: tuple) -> None:
    # The parent's objects must not be destroyed here: a decoder there may have threads that this process lacks.
    gc.freeze()
    # The default action of an alarm ends the process even inside a decoder's loop.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    try:
        sender.send(work(*arguments))
    except InputError as error:
        sender.send(error)
    except OSError as error:
        # In plain form, which libraries' own errors have not; a full disk may have no room for the trace.
        sender.send(OSError(error.errno, str(error)))
        raise


class _Limit:
    """Ends this process by an alarm if a file gives nothing for a while, or when its time is up."""

    def __init__(self) -> None:
        self._end = math.inf
        self.beat()

    def end_within(self, seconds: float) -> None:
        """Allow so many seconds from now on."""
        self._end = time.monotonic() + seconds
        self.beat()

    def beat(self) -> None:
        """Note that something has come."""
        signal.setitimer(signal.ITIMER_REAL, max(0.001, min(_STALL_S, self._end - time.monotonic())))


def _convert(source: Path, mp4: Path, wav: Path, settings: Settings, threads: int, probe: Probe) -> Probe:
    """Write the pictures and the sound of a video and fill in its probe."""
    limit = _Limit()
    scan = probing.scan(source, limit.beat)
    first = first_picture.first_picture(source, scan, settings.max_lines, limit.beat)
    total = max(1, round((scan.end - first.time) * media.FPS))
    limit.end_within(_STALL_S + settings.max_seconds_per_second * total / media.FPS)
    end = first.time + total / media.FPS
    copies_pictures = first.as_is and scan.copyable and probing.is_constant(scan.times, first.time, total)
    copies_sound = (
        scan.sound_copyable
        and scan.mix.is_mean
        and len(scan.mix.weights) == scan.mix.channels
        and scan.sound_start < first.time + probing.HALF_FRAME_S
        and scan.sound_end > end - 0.04
    )
    with probing.open_film(source) as container, Mp4(mp4) as out:
        video, _ = probing.streams(container, source)
        audio = None if scan.sound is None else container.streams[scan.sound]
        if copies_pictures:
            pictures: timeline.PictureCopy | timeline.Pictures = timeline.PictureCopy(out, video, scan, first.time)
        else:
            pictures = timeline.Pictures(out, video, first, total, settings.crf, settings.preset, threads)
        with timeline.SoundTrack(wav, audio, scan.mix, first.time, total, None if copies_sound else out) as sound:
            copied_sound = out.add_copy(audio) if copies_sound else None
            for packet in probing.packets(container, [s for s in (video, audio) if s is not None]):
                limit.beat()
                if packet.stream is video:
                    pictures.take(packet)
                    if audio is None:
                        sound.lay_silence(pictures.done)
                else:
                    sound.take(packet)
                    if copied_sound is not None and packet.size:
                        timeline.copy_sound(out, packet, copied_sound, first.time, end)
            pictures.close()

    probe.frames, probe.duration_s, probe.reencoded = total, total / media.FPS, not copies_pictures
    _describe_source(probe, scan, first)
    probe.deinterlaced, probe.tone_mapped = first.fields, first.hdr
    _check_damage(source, probe, scan, first.time, pictures, settings.max_damage_s)
    _describe_sound(source, probe, audio, sound, first.time)
    if audio is not None:
        probe.sound_track, probe.sound_mix = scan.sound_track, scan.mix.name
    return probe


def _describe_source(probe: Probe, scan: probing.Scan, first: first_picture.First) -> None:
    shown = scan.times[scan.times > first.time - probing.ROUNDING_S]
    steps = np.diff(shown)
    probe.width, probe.height, probe.rotation = first.width, first.height, first.rotation
    probe.source_format, probe.source_codec = scan.format, scan.codec
    probe.source_pixel_format = first.frame.format.name
    probe.source_width, probe.source_height = first.frame.width, first.frame.height
    probe.source_frames = len(shown)
    probe.source_fps = round(float(1 / steps.mean()) if len(steps) else media.FPS, 3)
    probe.source_bit_rate = round(8 * scan.picture_bytes / (scan.end - first.time))
    probe.variable_frame_rate = bool(len(steps) and np.ptp(steps) > 2 * probing.ROUNDING_S)


def _check_damage(
    source: Path,
    probe: Probe,
    scan: probing.Scan,
    zero: float,
    pictures: timeline.Pictures | timeline.PictureCopy,
    max_damage_s: float,
) -> None:
    lost = round(sum(seconds for _, seconds in scan.lost) * probe.source_fps)
    probe.damaged_frames = max(pictures.damaged, probe.source_frames - pictures.decoded) + lost
    if probe.damaged_frames / probe.source_fps > max_damage_s:
        places = [time for time, _ in scan.lost] + ([] if pictures.damaged_at is None else [pictures.damaged_at])
        raise InputError(
            f"{source} is damaged from second {min(places, default=pictures.last) - zero:.2f} on "
            f"({probe.damaged_frames} pictures are lost); get it again, or cut the damaged part away."
        )


def _describe_sound(
    source: Path, probe: Probe, audio: av.AudioStream | None, sound: timeline.SoundTrack, zero: float
) -> None:
    if audio is None or not sound.heard:
        probe.status = "no_sound"
        probe.reason = f"{source} has no sound; give a version with sound if people are to be heard."
        return
    probe.status = "ok"
    probe.sound_codec, probe.sound_rate, probe.sound_channels = audio.codec_context.name, audio.rate, audio.channels
    probe.sound_offset_s = round(sound.start - zero, 6)
    probe.sound_s = round(sound.heard / sound.rate, 3)
    if sound.loudest < listening.SILENT:
        probe.reason = f"the sound of {source} is silent from beginning to end; give a version with sound if people are to be heard."
    elif probe.duration_s - probe.sound_s > _UNHEARD_S:
        probe.reason = (
            f"{source} has sound for {probe.sound_s:.1f} of its {probe.duration_s:.1f} seconds only, and counts as silent in "
            "the others; give a version with all its sound if people speak in them."
        )
