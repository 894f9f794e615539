
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DOCS := $(VENV)/docs
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: help demo test test-fast test-module test-real test-faults test-scale test-slurm test-browser bench test-publish audit lint docs

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

demo: $(READY) ## the whole workflow on a synthetic conversation
	$(BIN)/snakemake --cores all all

test: $(READY) lint ## all tests that need nothing else, and lint (CI runs this first)
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not material" tests/rules tests/run tests/unit

test-module: $(READY) ## whole runs of the workflow as a module of another one
	$(BIN)/python -m pytest tests/module

test-real: $(READY) ## workflow and functions on real videos with known truth (TALKING_TEST_MATERIAL names their folder)
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m material tests/real tests/unit

test-faults: $(READY) ## runs and trainings that are killed or disturbed, jobs that break, full disks, damaged inputs
	$(BIN)/python -m pytest -n 2 --dist worksteal tests/faults

test-scale: $(READY) ## plans of large sample sheets, what stages, training steps and many videos cost
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/benchmarks tests/scale

bench: $(READY) ## what each stage costs, compared with docs/benchmarks.json: a quarter worse fails
	$(BIN)/python tests/benchmarks/bench_cost.py --compare docs/benchmarks.json --work $(VENV)/bench

test-slurm: $(READY) ## the workflow on a SLURM cluster made on this machine (Debian, as root)
	$(BIN)/python tests/slurm/cluster.py
	$(BIN)/python -m pytest tests/slurm

# Playwright's package holds its own Node.js, which only these tests need.
test-browser: $(READY) ## the gallery in a headless Chromium (Debian, as root)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --upgrade --target $(VENV)/browser -r tests/browser/requirements.lock
	$(BIN)/python tests/browser/chromium.py
	PYTHONPATH=$(VENV)/browser $(BIN)/python -m pytest tests/browser

test-publish: $(READY) ## exports and Croissant, read by the libraries of others
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --upgrade --target $(VENV)/publish -r tests/publish/requirements.lock
	PYTHONPATH=$(VENV)/publish $(BIN)/python -m pytest tests/publish

audit: $(READY) ## known weaknesses of the pinned packages (needs the internet)
	$(BIN)/python tests/audit.py $(VENV)/audit

test-fast: $(READY) lint ## the quick tests only, and lint
	$(BIN)/python -m pytest -n 2 -m "not slow" tests/rules tests/run tests/unit

lint: $(READY) ## ruff, snakefmt, Snakemake's lint, codespell
	$(BIN)/ruff check scripts tests notebooks
	$(BIN)/ruff format --check scripts tests notebooks
	PYTHONPATH=scripts $(BIN)/lint-imports --no-logo --no-cache pyproject.toml
	$(BIN)/snakefmt --check workflow
	$(BIN)/snakemake --lint
	$(BIN)/codespell

docs: $(DOCS)/.ready ## the documentation as a site in site/, links checked
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict

# Their own environment: MkDocs and the workflow share packages, but need not agree on versions.
$(DOCS)/.ready: docs/requirements.lock
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $<
	touch $@

# The package index decides whether torch is a build for processors or one with CUDA, which needs further packages. So torch is downloaded first and
# checked then: with hashes, pip would choose only a build whose hash the index lists.
$(READY): workflow/envs/requirements.lock workflow/envs/torch.lock workflow/envs/cuda.lock workflow/envs/fit_torch.py
	$(PYTHON) -m venv $(VENV)
	$(PIP) --require-hashes --no-deps -r workflow/envs/requirements.lock
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --dest $(VENV)/torch $(shell grep -o '^torch==[0-9.]*' workflow/envs/torch.lock)
	$(PIP) --require-hashes --no-deps --no-index --find-links $(VENV)/torch -r workflow/envs/torch.lock
	rm -r $(VENV)/torch
	$(BIN)/python workflow/envs/fit_torch.py
	touch $@
