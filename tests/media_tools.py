"""What only tests need of media files: the ffmpeg program, and how many pictures there really are."""

import shutil
from pathlib import Path

import av


def ffmpeg_exe() -> str:
    """Return the ffmpeg program: the one on the PATH (conda), else the one that imageio-ffmpeg carries."""
    found = shutil.which("ffmpeg")
    if found:
        return found
    import imageio_ffmpeg

    return imageio_ffmpeg.get_ffmpeg_exe()


def count_frames(path: str | Path) -> int:
    """Return how many pictures a video really decodes to, which need not be what it declares."""
    if Path(path).stat().st_size == 0:
        return 0
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        return sum(1 for _ in container.decode(video=0))
