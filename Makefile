# make demo: the whole workflow on a filmed conversation; make test: the tests, lint included;
# make test-faults: runs that are killed, filled and fuzzed; make test-scale: large sheets and what many videos cost;
# make test-slurm: a cluster on this machine;
# make test-real: the workflow on real videos with truth, where those of TALKING_TEST_MATERIAL are at hand;
# make audit: the pinned packages against the list of known weaknesses, where that can be reached.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test test-fast test-real test-faults test-scale test-slurm audit lint

demo: $(READY)
	$(BIN)/snakemake --cores all all

test: $(READY) lint
	$(BIN)/python -m pytest -n 2 --dist worksteal --ignore=tests/benchmarks --ignore=tests/run --ignore=tests/slurm --ignore=tests/faults --ignore=tests/scale --ignore=tests/real tests
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/benchmarks tests/run

test-real: $(READY)
	$(BIN)/python -m pytest tests/real

test-faults: $(READY)
	$(BIN)/python -m pytest -n 2 --dist worksteal tests/faults

test-scale: $(READY)
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/scale

# The workflow on a SLURM cluster on this machine; as root, which Debian's packages need.
test-slurm: $(READY)
	$(BIN)/python tests/slurm/cluster.py
	$(BIN)/python -m pytest tests/slurm

audit: $(READY)
	$(BIN)/python tests/audit.py $(VENV)/audit

test-fast: $(READY)
	$(BIN)/python -m pytest -n 2 -m "not slow" --ignore=tests/slurm tests

lint: $(READY)
	$(BIN)/ruff check scripts tests
	$(BIN)/ruff format --check scripts tests
	PYTHONPATH=scripts $(BIN)/lint-imports --no-logo --no-cache pyproject.toml
	$(BIN)/snakefmt --check workflow
	$(BIN)/snakemake --lint

# The index says whether torch comes for processors or with CUDA, which wants libraries of its own: it is fetched first and then checked, as pip with
# hashes would take a build of whose hash the index tells.
$(READY): workflow/envs/requirements.lock workflow/envs/torch.lock workflow/envs/cuda.lock workflow/envs/fit_torch.py
	$(PYTHON) -m venv $(VENV)
	$(PIP) --require-hashes --no-deps -r workflow/envs/requirements.lock
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --dest $(VENV)/torch $(shell grep -o '^torch==[0-9.]*' workflow/envs/torch.lock)
	$(PIP) --require-hashes --no-deps --no-index --find-links $(VENV)/torch -r workflow/envs/torch.lock
	rm -r $(VENV)/torch
	$(BIN)/python workflow/envs/fit_torch.py
	touch $@
