"""Fixtures that every layer of the tests shares."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import records

REPO = Path(__file__).resolve().parent.parent

# Threads that wait for others sleep: the processes of the tests and their jobs share few cores. Read when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# The files of `make test` and `make test-real` that take longest begin first, so that no process works alone at the end. Removal makes
# the finished run, which takes as long as the two after it, which need none.
LONGEST = (
    "real/test_real_videos.py",
    "run/test_removal.py",
    "rules/test_covog_rules.py",
    "unit/covog/test_covog_train.py",
    "run/test_changes.py",
    "unit/covog/test_covog_hearing.py",
    "run/test_workflow.py",
    "unit/speech/test_words.py",
    "unit/speech/test_diarization.py",
    "run/test_inputs.py",
    "unit/speaking/test_speaking_networks.py",
    "unit/video/test_ingest.py",
    "unit/video/test_ingest_kinds.py",
)


class _Material:
    """Real clips and golden numbers kept outside the project; a test that needs one that is absent is skipped by name."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __truediv__(self, name: str) -> Path:
        path = self.root / name
        if not path.exists():
            pytest.skip(f"needs {name} of the test material (TALKING_TEST_MATERIAL)")
        return path


@pytest.fixture(scope="session")
def shared() -> _Material:
    """The folder of real test material, by the environment variable TALKING_TEST_MATERIAL."""
    return _Material(Path(os.environ.get("TALKING_TEST_MATERIAL", REPO.parent / "shared")))


@pytest.fixture(scope="session")
def once(tmp_path_factory) -> Callable[[str, Callable[[Path], None]], Path]:
    """Return a function that returns a folder by its name, filled by another function once for all processes of the tests."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent

    def once(name: str, fill: Callable[[Path], None]) -> Path:
        folder, filled = root / name, root / f"{name}.filled"
        with (root / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not filled.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                fill(folder)
                filled.touch()
        return folder

    return once


@pytest.fixture(scope="session")
def films(once) -> Path:
    """A folder with a conversation, its first shot without sound, and a text named .mp4."""
    from run import workflow

    return once("films", workflow.make_films)


@pytest.fixture(scope="session")
def run(once, films) -> tuple[Path, str]:
    """The folder of a finished run of those films, which no test may change, and what the run printed."""
    from run import workflow

    folder = once("finished", lambda folder: workflow.make_run(folder / "a folder with spaces", films))
    return folder / "a folder with spaces", (folder / "printed.txt").read_text()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, then others with slow tests, then quick ones; mark those that need the test material."""
    for item in items:
        if "shared" in getattr(item, "fixturenames", ()) or item.path.is_relative_to(REPO / "tests/real"):
            item.add_marker("material")
    with_slow = {item.path for item in items if item.get_closest_marker("slow")}
    place = {REPO / "tests" / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: (place.get(item.path, len(place)), item.path not in with_slow))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Note the faults that a test shows to be survived."""
    report = yield
    if report.when == "call" and report.passed:
        for mark in item.iter_markers("fault"):
            records.note("faults", fault=mark.args[0], outcome=mark.args[1], test=item.nodeid.removeprefix("tests/"))
    return report
