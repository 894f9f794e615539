"""Fixtures that every layer of the tests shares."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import records

REPO = Path(__file__).resolve().parent.parent


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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Note the faults that a test shows to be survived."""
    report = yield
    if report.when == "call" and report.passed:
        for mark in item.iter_markers("fault"):
            records.note("faults", fault=mark.args[0], outcome=mark.args[1], test=item.nodeid.removeprefix("tests/"))
    return report
