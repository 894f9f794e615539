"""Other workflows that include this one as a module: from a clone and from a local git repository, below a prefix, with a config of their own."""

import shutil
import subprocess
from pathlib import Path

from conftest import REPO

# Another workflow: its own rule reads the data set, and the module's rules have other names.
USES = """
import sys

module talking:
    snakefile: {snakefile}
    config: {{"videos": "mine/videos.tsv", "covog": {{"train": "never"}}}}
    prefix: "a part"

use rule * from talking as talking_*

rule count_clips:
    default_target: True
    input: "a part/results/dataset/clips.parquet", "a part/results/no_failures.ok"
    output: "clips.txt"
    shell: "{{sys.executable}} -c 'import pandas, sys; print(len(pandas.read_parquet(sys.argv[1])))' {{input[0]:q}} > {{output}}"
"""


def a_clone(folder: Path) -> str:
    return repr(str(REPO / "workflow/Snakefile"))


def a_repository(folder: Path) -> str:
    """Make a git repository of the workflow as it is now; what Snakemake reads of it is its history."""
    repository = folder / "repository"
    for name in ("config", "scripts", "workflow"):
        shutil.copytree(REPO / name, repository / name, ignore=shutil.ignore_patterns("__pycache__"))
    git = ["git", "-C", repository, "-c", "user.name=test", "-c", "user.email=test@example.org"]
    for words in (["init", "--quiet", "--initial-branch=main"], ["add", "--all"], ["commit", "--quiet", "-m", "all"]):
        subprocess.run([*git, *words], check=True)
    shutil.rmtree(repository / "workflow")
    return f'gitfile({str(repository)!r}, path="workflow/Snakefile", ref="main")'
