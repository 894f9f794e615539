"""The data set as WebDataset tar shards."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from talking.core import cli
from talking.dataset import protect, store

_SHARD_FILES = {
    "mp4": "video.mp4",
    "wav": "audio.wav",
    "speakers.json": "speakers.json",
    "poses.npz": "poses.npz",
    "sound.npz": "sound.npz",
    "meta.json": "meta.json",
}


@dataclass
class Settings:
    """Settings of the export as WebDataset shards."""

    max_shard_mb: int = cli.setting(500, "size from which a new shard begins, in MB", minimum=1)


def export(
    dataset: Path, out: Path, settings: Settings | None = None, protection: protect.Settings | None = None
) -> None:
    """Write the data set as tar shards `{split}-{number}.tar` below `out`, renamed to it when all are whole.

    A sample's key is the clip's name, its fields are mp4, wav, speakers.json, poses.npz, sound.npz and meta.json.
    """
    from webdataset import ShardWriter

    settings, protection = settings or Settings(), protection or protect.Settings()
    aside = out.with_name(f".{out.name}.new")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    for name in store.SPLITS:
        clips = store.split(dataset, name)
        if not clips:
            continue
        pattern = str(aside / name).replace("%", "%%") + "-%06d.tar"
        # No time in the headers: two exports of the same clips have the same bytes.
        with ShardWriter(pattern, maxsize=settings.max_shard_mb * 1e6, verbose=0, mtime=0, encoder=False) as shards:
            for clip in tqdm(clips, desc=name):
                with protect.passed_on(clip, protection) as folder:
                    fields = {key: (folder / file).read_bytes() for key, file in _SHARD_FILES.items()}
                shards.write({"__key__": clip.name, **fields})
    shutil.rmtree(out, ignore_errors=True)
    aside.rename(out)
