"""Whether a file of the store can be read to its end: what a job has left, and not a part of it."""

import json
from pathlib import Path

from talking.core import checksums


def can_be_read(file: Path) -> bool:
    """Return True if a file is whole, as far as its kind shows it; raises OSError if the system does not let it be read."""
    with file.open("rb") as found:
        found.read(1)
    try:
        _READERS[file.suffix](file)
    except ImportError:
        # Nobody here can tell.
        return True
    except Exception:
        # The system lets it be read: whatever a reader makes of such bytes, they are not what a job leaves.
        return False
    return True


def _read_table(file: Path) -> None:
    import pyarrow.parquet as pq

    pq.read_table(file, partitioning=None).validate(full=True)


def _read_arrays(file: Path) -> None:
    from talking.core import arrays

    with arrays.opened(file) as found:
        for name in found:
            found[name]


def _read_lines(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    if not lines or not all(line.startswith(("SPEAKER", ";;")) and line.endswith("\n") for line in lines):
        raise ValueError("not all of its lines are there")


def _read_object(file: Path) -> None:
    if not isinstance(json.loads(file.read_text(encoding="utf-8")), dict | list):
        raise ValueError("holds neither fields nor rows")


def _read_pictures(file: Path) -> None:
    from talking.video import media

    if not _is_as_clip_says(file) and media.size_and_length(file)[2] != _frames(file):
        raise ValueError("not all of its pictures are there")


def _read_sound(file: Path) -> None:
    from talking.video import media

    if not _is_as_clip_says(file) and len(media.sound(file)) != _frames(file) * media.SAMPLES_PER_FRAME:
        raise ValueError("not all of its sound is there")


def _is_as_clip_says(file: Path) -> bool:
    """Return True if a file lies in a clip's folder, with the sum that its meta.json has; raises ValueError if the sum is another."""
    meta = file.with_name("meta.json")
    if meta.exists() and _object(meta)["files"][file.name]["sha256"] != checksums.sha256(file):
        raise ValueError("it is not what was cut")
    return meta.exists()


def _frames(file: Path) -> int:
    """Return how many frames a video has by its probe."""
    return _object(file.with_suffix(".json"))["frames"]


def _object(file: Path) -> dict:
    return json.loads(file.read_text(encoding="utf-8"))


def _read_weights(file: Path) -> None:
    # Where training had too few clips its weights have no bytes, and its losses no rows.
    if file.stat().st_size == 0:
        import pyarrow.parquet as pq

        if pq.read_metadata(file.with_name("losses.parquet")).num_rows:
            raise ValueError("has no weights")
        return
    with file.open("rb") as found:
        header = json.loads(found.read(int.from_bytes(found.read(8), "little")))
        ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
        if found.tell() + max(ends) != file.stat().st_size:
            raise ValueError("not all of its weights are there")


_READERS = {
    ".parquet": _read_table,
    ".npz": _read_arrays,
    ".rttm": _read_lines,
    ".json": _read_object,
    ".mp4": _read_pictures,
    ".wav": _read_sound,
    ".safetensors": _read_weights,
}
