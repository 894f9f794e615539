"""Published weights: the list is whole, and how a file is had or refused."""

import hashlib
import re

import pytest
import yaml

from covog import weights
from talking.core.errors import InputError

LISTED = yaml.safe_load(weights.list_file().read_text())
CONTENT = b"weights" * 1000
# Their hosts show neither checksum nor commits: what the first download brought is noted and held to.
FIRST_DOWNLOAD_COUNTS = {name for name in LISTED if name.startswith("sapiens")}
FIRST_DOWNLOAD_COUNTS |= {"pretrain_TalkSet.model", "conv_tasnet_base_libri2mix.pt"}


def entry(**changes):
    return {
        "url": "https://hub.example/some/model/resolve/{revision}/model.bin",
        "revision": "abc",
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
        "bytes": len(CONTENT),
        "licence": "MIT",
        "gated": False,
        **changes,
    }


@pytest.fixture
def hub(monkeypatch):
    """A hub that counts what is asked of it and hands out CONTENT."""
    asked = []

    def download(url, part, pause_s, headers):
        asked.append((url, headers))
        part.write_bytes(CONTENT)
        return "", True

    monkeypatch.setattr(weights.fetch, "download", download)
    monkeypatch.delenv(weights.TOKEN, raising=False)
    return asked


@pytest.mark.parametrize("name", LISTED)
def test_every_entry_is_whole(name):
    of = LISTED[name]
    assert set(of) == {"url", "revision", "sha256", "bytes", "licence", "gated", "used_for", "purpose"}
    assert ("{revision}" in of["url"]) == (of["revision"] is not None)
    # A commit or a checksum says which file is meant; of FIRST_DOWNLOAD_COUNTS neither is known.
    pinned = of["sha256"] or re.fullmatch("[0-9a-f]{40}", of["revision"] or "")
    assert bool(pinned) == (name not in FIRST_DOWNLOAD_COUNTS)
    assert of["sha256"] is None or re.fullmatch("[0-9a-f]{64}", of["sha256"])
    stages = {"faces", "speaking", "speech", "poses", "sound"}
    assert of["used_for"] in stages | {"start", "encoders", "metrics", "other"}


def test_a_download_is_checked_and_put_in_place(hub, tmp_path):
    weights.obtain("a/model.bin", entry(), tmp_path / "a/model.bin")
    assert (tmp_path / "a/model.bin").read_bytes() == CONTENT
    assert hub == [("https://hub.example/some/model/resolve/abc/model.bin", {})]
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["model.bin"]


@pytest.mark.parametrize("changes", [{"bytes": 5}, {"sha256": "0" * 64}])
def test_another_file_than_the_listed_one_is_refused(hub, tmp_path, changes):
    with pytest.raises(InputError, match=r"is not the file of .*/covog/weights\.yaml"):
        weights.obtain("model.bin", entry(**changes), tmp_path / "model.bin")
    assert list(tmp_path.iterdir()) == []


def test_the_users_folder_comes_first_and_is_checked_too(hub, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/model.bin").write_bytes(CONTENT)
    for of in (entry(), entry(sha256=None, bytes=None), entry(gated=True)):
        weights.obtain("model.bin", of, tmp_path / "out.bin", tmp_path / "mine")
        assert (tmp_path / "out.bin").read_bytes() == CONTENT
    assert hub == []
    with pytest.raises(InputError, match=r"mine/model\.bin is not the file .* it has 7000 bytes, not 5"):
        weights.obtain("model.bin", entry(bytes=5), tmp_path / "out.bin", tmp_path / "mine")


def test_a_file_nobody_has_a_checksum_of_is_held_to_its_first_download(hub, tmp_path, monkeypatch):
    said = weights.obtain("model.bin", entry(sha256=None), tmp_path / "out.bin")
    assert "there is no checksum to check it with" in said
    assert (tmp_path / "out.bin.sha256").read_text().strip() == hashlib.sha256(CONTENT).hexdigest()
    (tmp_path / "out.bin").unlink()
    assert "nobody" not in weights.obtain("model.bin", entry(sha256=None), tmp_path / "out.bin")
    monkeypatch.setattr(weights.fetch, "download", lambda url, part, *_: (part.write_bytes(b"x" * 7000) and "", True))
    with pytest.raises(InputError, match=r"is not the file of .*out\.bin\.sha256, noted at the first download"):
        weights.obtain("model.bin", entry(sha256=None), tmp_path / "out.bin")
    assert (tmp_path / "out.bin").read_bytes() == CONTENT


def test_gated_files_name_the_page_and_take_a_token_from_the_environment(hub, tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"visit https://hub\.example/some/model, accept it, set HF_TOKEN"):
        weights.obtain("model.bin", entry(gated=True), tmp_path / "out.bin")
    assert hub == []
    monkeypatch.setenv(weights.TOKEN, "secret")
    weights.obtain("model.bin", entry(gated=True), tmp_path / "out.bin")
    assert hub[0][1] == {"Authorization": "Bearer secret"}


def test_a_failed_download_says_what_to_do(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(weights.fetch, "download", lambda *_: ("the server answers 503", False))
    with pytest.raises(InputError, match=r"answers 503\): check the network and run again"):
        weights.obtain("model.bin", entry(), tmp_path / "out.bin")
