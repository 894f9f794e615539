"""The conda envs hold what their rules import, in the versions that are tested."""

import ast
import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections import defaultdict
from functools import cache
from importlib.metadata import distributions, packages_distributions
from pathlib import Path

import pytest
import yaml

import stand_in_conda

ROOT = Path(__file__).parents[2]
ENVS = ROOT / "workflow/envs"
SCRIPTS = ROOT / "scripts"
COMMAND_LINES = {script.stem for script in SCRIPTS.glob("*.py")}
# Modules that an env need not hold, and why.
OPTIONAL = {
    "wandb": "only for log_with: wandb, which names it where it is missing",
    "bitsandbytes": "only for an optimiser that covog.yaml's comment names",
    "torchao": "in place of bitsandbytes",
}
# Distributions that the installed ones do not name as the source of a module.
SOURCES = {"dlib": "dlib-bin", "scenedetect": "scenedetect-headless"}
# conda-forge's names of distributions.
NAMES = {
    "matplotlib-base": "matplotlib",
    "pysoundfile": "soundfile",
    "python-flatbuffers": "flatbuffers",
    "python-sounddevice": "sounddevice",
    "soxr-python": "soxr",
}
WITHOUT_REQUIREMENTS = SCRIPTS / "talking/without_requirements"

installed = cache(packages_distributions)


def normal(name):
    """Return a distribution's name as PyPI compares them."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(text):
    """Return {distribution: version} of every NAME==VERSION in a text."""
    return {normal(n): v for n, v in re.findall(r"(?:^|[\s=])([\w.-]+)==([\w.]+)", text)}


def provided(env):
    """Return {distribution: version} of an env file."""
    python, pip, *by_conda, by_pip = yaml.safe_load(env.read_text())["dependencies"]
    assert python.startswith("python=") and pip.startswith("pip>=")
    named = dict(spec.split("=") for spec in by_conda)
    found = pins("\n".join(by_pip["pip"]))
    assert len(found) == len(by_pip["pip"]), f"{env.name}: not every package has a version"
    return found | {normal(NAMES.get(name, name)): version for name, version in named.items()}


def rules():
    """Yield (rule, env file, scripts) of every rule that names an env."""
    for file in sorted((ROOT / "workflow/rules").glob("*.smk")):
        for text in re.split(r"^(?=rule )", file.read_text(), flags=re.MULTILINE):
            env = re.search(r'conda:\s+"([^"]+)"', text)
            if env:
                scripts = COMMAND_LINES & {
                    word.replace("-", "_") for word in re.findall(r"[\w-]+", text.split("shell:")[1])
                }
                yield re.match(r"rule (\w+)", text)[1], (file.parent / env[1]).resolve(), sorted(scripts)


@cache
def parsed(path):
    """Return a module's syntax tree."""
    return ast.parse(path.read_text())


class Imports:
    """The packages that a script's own code can come to import, those of functions that it never calls left out.

    A module's statements run when it is imported; a function, class or constant counts once its name is used by what
    counts already. Packages whose files are read through `find_spec` and the like count too.
    """

    def __init__(self, script):
        self.packages, self.names, self.aliases = set(), {}, defaultdict(dict)
        self.used = set()
        self.load(script, all_used=True)

    def path(self, module):
        base = SCRIPTS.joinpath(*module.split("."))
        return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)

    def load(self, module, all_used=False):
        """Take in a module and the packages around it; return whether it is one of the project's."""
        if self.path(module) is None:
            return False
        if module in self.names:
            return True
        if "." in module:
            self.load(module.rpartition(".")[0])
        self.names[module] = defaultdict(list)
        for statement in parsed(self.path(module)).body:
            targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
            names = [n.id for t in targets if t is not None for n in ast.walk(t) if isinstance(n, ast.Name)]
            names += [statement.name] if isinstance(statement, ast.FunctionDef | ast.ClassDef) else []
            for name in names:
                self.names[module][name].append(statement)
            if all_used or not names:
                self.take(module, statement)
        return True

    def take(self, module, statement):
        """Follow the imports and then the names in a statement."""
        nodes = list(ast.walk(statement))
        for node in nodes:
            if isinstance(node, ast.Import):
                for name in node.names:
                    self.bind(
                        module, (name.asname or name.name).split(".")[0], name.name if name.asname else "", name.name
                    )
            elif isinstance(node, ast.ImportFrom):
                for name in node.names:
                    self.bind(module, name.asname or name.name, f"{node.module}.{name.name}", node.module)
        for node in nodes:
            if isinstance(node, ast.Name):
                self.use(module, node.id)
            elif isinstance(node, ast.Attribute):
                self.use_attribute(module, node)
            elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in (
                "find_spec",
                "files",
                "_package",
            ):
                self.packages |= {a.value for a in node.args if isinstance(a, ast.Constant)}

    def bind(self, module, name, target, imported):
        """Note what an import gives a module."""
        if self.path(imported.split(".")[0]) is None:
            self.packages.add(imported.split(".")[0])
        else:
            self.load(imported)
            self.load(target)
            self.aliases[module][name] = target

    def use(self, module, name):
        """Follow a name of a module to what defines it."""
        if (module, name) in self.used:
            return
        self.used.add((module, name))
        for statement in self.names[module][name]:
            self.take(module, statement)
        target = self.aliases[module].get(name, "")
        if target and not self.load(target):
            self.use(*target.rsplit(".", 1))

    def use_attribute(self, module, node):
        """Follow module.name and package.module.name."""
        first, *rest = ast.unparse(node).split(".")
        target = self.aliases[module].get(first, "")
        for name in rest:
            if target not in self.names:
                return
            if not self.load(f"{target}.{name}"):
                self.use(target, name)
            target = f"{target}.{name}"

    def third_party(self):
        return {p for p in self.packages if p not in sys.stdlib_module_names and self.path(p) is None}


@pytest.mark.parametrize("lock", sorted(ENVS.glob("*.lock")), ids=lambda lock: lock.stem)
def test_every_package_of_a_lock_has_the_hashes_of_its_files(lock):
    text = re.sub(r"^#.*$", "", lock.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    packages = [line.split() for line in text.splitlines() if line.strip()]
    assert packages and all(re.fullmatch(r"[\w.-]+==[\w.]+", name) for name, *_ in packages)
    assert [name for name, *hashes in packages if not hashes] == []
    assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", h) for _, *hashes in packages for h in hashes)


def test_every_rule_names_an_env_that_exists():
    found = list(rules())
    assert len(found) > 20
    assert [name for name, env, _ in found if not env.is_file()] == []


def entries(lock):
    """Return a lock file's entries, each of a package with its hashes."""
    return set(re.split(r"^(?=\w)", lock.read_text(), flags=re.MULTILINE)[1:])


def test_an_env_is_one_file_that_names_what_pip_is_to_take_without_its_requirements():
    lines = [
        line
        for env in ENVS.glob("*.yaml")
        for line in re.findall(r"^ +- (.*TALKING_WITHOUT_REQUIREMENTS.*)", env.read_text(), re.M)
    ]
    form = r"([\w-]+) @ file://\$\{TALKING_WITHOUT_REQUIREMENTS\}#\1 --config-settings=wheel=(\1==[\w.]+)( --config-settings=leave=\1/lib)?"
    wheels = {re.fullmatch(form, line)[2] for line in lines}
    assert wheels == {entry.split()[0] for entry in entries(WITHOUT_REQUIREMENTS / "wheels.lock")}
    assert entries(WITHOUT_REQUIREMENTS / "wheels.lock") <= entries(ENVS / "requirements.lock")
    # Snakemake fetches no other files of an env for a workflow that another one includes.
    assert {file.suffix for file in ENVS.iterdir()} == {".yaml", ".lock", ".py", ""}


def write_wheel(folder):
    """Write a wheel that asks for what there is not; return its SHA-256."""
    wheel = folder / "greedy-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("greedy/__init__.py", "VALUE = 3\n")
        file.writestr("greedy/lib/heavy.so", "machine code")
        about = "Metadata-Version: 2.1\nName: greedy\nVersion: 1.0\nRequires-Dist: nothing-like-it<1\nLicense: MIT\n"
        file.writestr("greedy-1.0.dist-info/METADATA", about)
        file.writestr("greedy-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(
            "greedy-1.0.dist-info/RECORD",
            "greedy/__init__.py,,\ngreedy/lib/heavy.so,,\ngreedy-1.0.dist-info/METADATA,sha256=old,1\n",
        )
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


@pytest.mark.slow
def test_pip_installs_a_wheel_of_the_lock_without_its_requirements_and_no_other(tmp_path):
    project = shutil.copytree(
        WITHOUT_REQUIREMENTS, tmp_path / "without_requirements", ignore=shutil.ignore_patterns("__pycache__")
    )
    digest = write_wheel(tmp_path)
    # As conda does with the lines of an env.
    (tmp_path / "lines.txt").write_text(
        "greedy @ file://${TALKING_WITHOUT_REQUIREMENTS}#greedy --config-settings=wheel=greedy==1.0 --config-settings=leave=greedy/lib\n"
    )
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-U",
        "-r",
        tmp_path / "lines.txt",
        "--target",
        tmp_path / "site",
    ]
    environment = os.environ | {
        "TALKING_WITHOUT_REQUIREMENTS": str(project),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(tmp_path),
    }
    for hashed in ("0" * 64, digest):
        (project / "wheels.lock").write_text(f"# A lock.\ngreedy==1.0 \\\n    --hash=sha256:{hashed}\n")
        done = subprocess.run(install, env=environment, capture_output=True, text=True)
        assert (done.returncode == 0) == (hashed == digest), done.stderr
    [installed] = distributions(name="greedy", path=[str(tmp_path / "site")])
    assert (installed.version, installed.requires, installed.metadata["License"]) == ("1.0", None, "MIT")
    assert (tmp_path / "site/greedy/__init__.py").read_text() == "VALUE = 3\n"
    assert not (tmp_path / "site/greedy/lib").exists()


@pytest.mark.parametrize("env", sorted(ENVS.glob("*.yaml")), ids=lambda env: env.stem)
def test_env_has_the_versions_of_the_lock(env):
    lock = pins((ENVS / "requirements.lock").read_text() + (ENVS / "torch.lock").read_text())
    lock["scenedetect-headless"] = lock["scenedetect"]
    assert {name: lock.get(name) for name in provided(env)} == provided(env)


@pytest.mark.parametrize("env", sorted(ENVS.glob("*.yaml")), ids=lambda env: env.stem)
def test_env_holds_what_its_rules_import(env):
    have = set(provided(env))
    missing = defaultdict(set)
    for _, its_env, scripts in rules():
        for script in scripts if its_env == env else []:
            for package in Imports(script).third_party() - set(OPTIONAL):
                sources = {SOURCES[package]} if package in SOURCES else installed().get(package, [package])
                if not {normal(source) for source in sources} & have:
                    missing[package].add(script)
    assert dict(missing) == {}


def test_imports_are_followed_through_modules_into_the_functions_that_are_used():
    assert {"dlib", "face_recognition_models"} <= Imports("embed_faces").third_party()
    assert {"whisperx", "pyannote", "torch"} <= Imports("diarize").third_party()
    assert "torch" not in Imports("find_candidates").third_party()


@pytest.mark.slow
def test_jobs_run_in_the_envs_that_conda_makes(tmp_path):
    conda = stand_in_conda.make(tmp_path / "conda")
    (tmp_path / "videos.tsv").write_text("video\tpath\tsource\tlicence\ngone\tgone.mp4\ttest\tCC0-1.0\n")
    snakemake = [sys.executable, "-m", "snakemake", "results/media/gone.json", "--cores", "1", "--sdm", "conda"]
    options = ["--snakefile", ROOT / "workflow/Snakefile", "--directory", tmp_path, "--workflow-profile", "none"]
    subprocess.run(
        [*snakemake, *options, "--config", f"videos={tmp_path}/videos.tsv"],
        env=os.environ | {"PATH": f"{conda}:{os.environ['PATH']}"},
        check=True,
    )
    assert "__main__.py ingest-media" in (tmp_path / "conda/jobs").read_text()
    assert (tmp_path / "conda/without_requirements").read_text().strip() == str(WITHOUT_REQUIREMENTS)
    assert "gone.mp4" in (tmp_path / "results/media/gone.json").read_text()
