"""What jobs find in their environment."""

import os

import pytest

from talking.core.errors import InputError
from talking.runs import environment


def test_two_modules_of_a_workflow_that_tell_jobs_different_things_are_stopped(monkeypatch):
    monkeypatch.setattr(environment, "_TOLD", {})
    monkeypatch.setenv("TALKING_SHEET", "of the user")
    environment.tell_jobs(TALKING_SHEET="/a.tsv")
    environment.tell_jobs(TALKING_SHEET="/a.tsv")
    assert os.environ["TALKING_SHEET"] == "/a.tsv"
    with pytest.raises(InputError, match=r"set TALKING_SHEET, to /a\.tsv and to /b\.tsv"):
        environment.tell_jobs(TALKING_SHEET="/b.tsv")


def test_programs_are_found_in_the_folders_first_however_often_they_are_named(monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/ours")
    for _ in range(2):
        environment.find_first("/ours", "/env/bin")
    assert os.environ["PATH"] == "/ours:/env/bin:/usr/bin:/ours"
