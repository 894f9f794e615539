"""What ingest writes down about a video: `media/{video}.json`."""

from dataclasses import dataclass

from talking.video import media


@dataclass
class Probe:
    """What is known about a video and its `media/` files; written as `media/{video}.json`.

    `sound_offset_s` is when the sound begins after the picture, `sound_s` for how many seconds of the picture there is any.
    `reason` says what is wrong, if anything: for an "ok" video, that sound is missing for a part of it.
    """

    status: str = "failed"
    reason: str = ""
    path: str = ""
    sha256: str = ""
    fps: int = media.FPS
    frames: int = 0
    width: int = 0
    height: int = 0
    duration_s: float = 0.0
    reencoded: bool | None = None
    rotation: int = 0
    sound_offset_s: float | None = None
    source_format: str = ""
    source_codec: str = ""
    source_pixel_format: str = ""
    source_width: int = 0
    source_height: int = 0
    source_fps: float = 0.0
    source_frames: int = 0
    source_bit_rate: int = 0
    variable_frame_rate: bool | None = None
    damaged_frames: int = 0
    deinterlaced: str = ""
    tone_mapped: str = ""
    sound_track: str = ""
    sound_mix: str = ""
    sound_codec: str = ""
    sound_rate: int = 0
    sound_channels: int = 0
    sound_s: float = 0.0
