"""What the project says of itself in several places is the same in all of them."""

import re
import tomllib

import yaml

from conftest import REPO


def test_pre_commit_runs_the_versions_of_make_lint():
    hooks = yaml.safe_load((REPO / ".pre-commit-config.yaml").read_text())["repos"]
    lock = (REPO / "workflow/envs/requirements.lock").read_text()
    for hook in hooks:
        name = hook["repo"].rsplit("/", 1)[1].removesuffix("-pre-commit")
        assert f"{name}=={hook['rev'].removeprefix('v')} " in lock, name


def test_every_target_of_the_makefile_has_a_line_of_help():
    text = (REPO / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)[1].split()
    helped = re.findall(r"^([a-z-]+):.* ## ", text, re.MULTILINE)
    assert sorted(phony) == sorted(helped)


def test_the_version_of_the_package_is_the_one_to_cite():
    package = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["version"]
    assert package == yaml.safe_load((REPO / "CITATION.cff").read_text())["version"]
