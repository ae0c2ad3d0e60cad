# `make` alone lists what there is to do. Nothing is needed but Python 3.11 and make.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh

PY := .venv/bin/python
READY := .venv/ready

# Every kernel is the one of .venv, and nobody's own IPython profile takes part.
export JUPYTER_PREFER_ENV_PATH := 1
export IPYTHONDIR := $(CURDIR)/.venv/share/ipython
export PYTHONDONTWRITEBYTECODE :=
# pip, npm and papermill need no colours or notices in a log.
export PIP_DISABLE_PIP_VERSION_CHECK := 1

$(READY): requirements.txt constraints.txt pyproject.toml tools/install.sh
	@TORCH='$(TORCH)' PYTHON='$(PYTHON)' tools/install.sh
	@touch $@

.PHONY: help
help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  TORCH=cpu          install torch without CUDA (1 GB instead of 6), e.g. make book TORCH=cpu"
	@echo "  CHAPTER=name       one chapter, e.g. make check CHAPTER=strong-minima"
	@echo "  URL=https://...    where the pages will be published, e.g. make book URL=https://example.org/book"
	@echo "  PYTHON=/path/to/python3.11   use this interpreter"

.PHONY: book
book: $(READY) ## execute the chapters and build the pages into _build/html
	@URL='$(URL)' OMP_NUM_THREADS=1 $(PY) tools/book.py

.PHONY: pdf
pdf: book ## print the whole book into _build/book.pdf, by Chromium; CODE=all with all code
	@$(PY) tools/print_book.py --code $(or $(CODE),cells)

.PHONY: test
test: lint ## linter, types, tests, and each chapter's outputs against a fresh run
	@OMP_NUM_THREADS=1 $(PY) -m pytest -q -n 2 --dist loadfile \
		--nbval --nbval-current-env --nbval-cell-timeout=600 --ignore=tests/pages tests chapters

.PHONY: pages
pages: book ## build the pages and read them all in a browser, as a reader does
	@PAGES=required OMP_NUM_THREADS=1 $(PY) -m pytest -q -n 2 --dist loadfile tests/pages

.PHONY: test-gpu
test-gpu: $(READY) ## the tests that need a GPU, which the others pass without
	@OMP_NUM_THREADS=1 $(PY) -m pytest -q -m gpu tests

.PHONY: check
check: $(READY) ## the same for one chapter: make check CHAPTER=strong-minima
	@OMP_NUM_THREADS=1 $(PY) tools/check.py $(CHAPTER)

.PHONY: refresh
refresh: $(READY) ## re-execute every chapter, or CHAPTER=..., and store its outputs in place
	@OMP_NUM_THREADS=1 $(PY) tools/refresh.py $(CHAPTER)

.PHONY: lint
lint: $(READY) ## linter, format and types
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

.PHONY: fix
fix: $(READY) ## mend what the linter can, format, and tidy the stored notebooks
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .
	@$(PY) tools/refresh.py --canonical

.PHONY: portable
portable: $(READY) ## compare stored outputs under other thread counts and instruction sets
	@$(PY) tools/portable.py

.PHONY: mutants
mutants: $(READY) ## alter the library in one place after another: does a test fail? ONLY=probe.py
	@$(PY) tools/mutants.py $(ONLY)

.PHONY: bench
bench: $(READY) ## time what the chapters say about speed
	@set -e; for script in benchmarks/*.py; do $(PY) "$$script"; done

WORKFLOW := .venv-workflow/ready
CONFIG ?= workflow/config/example.yaml
PROFILE ?= local
CORES ?= $(if $(filter local,$(PROFILE)),2)

# The workflow engine lives apart: its pins and the book's clash.
$(WORKFLOW): workflow/requirements.txt $(READY)
	@echo "Installing Snakemake into .venv-workflow (a minute the first time) ..."
	@$(PY) -m venv .venv-workflow
	@.venv-workflow/bin/python -m pip install -q -r workflow/requirements.txt
	@touch $@

.PHONY: grid
grid: $(WORKFLOW) ## run a grid: make grid CONFIG=workflow/config/example.yaml [CORES=2] [PROFILE=local]
	@workflow/run.sh '$(CONFIG)' '$(PROFILE)' '$(CORES)'

.PHONY: paper-runs
paper-runs: $(WORKFLOW) ## run the paper's grid, at its full size
	@workflow/run.sh workflow/config/paper.yaml '$(PROFILE)' '$(CORES)'

.PHONY: grid-plan
grid-plan: $(WORKFLOW) ## what a grid would run, with the time and the disk it takes; runs nothing
	@$(PY) workflow/plan.py '$(CONFIG)' $(if $(CORES),--cores $(CORES))
	@workflow/run.sh '$(CONFIG)' '$(PROFILE)' '$(CORES)' --dry-run --quiet rules

.PHONY: test-grid
test-grid: $(WORKFLOW) ## the workflow's tests in full: killed at 20 moments, SLURM where there is one
	@PSCORE_KILLS=20 OMP_NUM_THREADS=1 $(PY) -m pytest -q tests/workflow

.PHONY: serve
serve: book ## build the pages and serve them on localhost:8000
	@$(PY) -m http.server --bind 127.0.0.1 --directory _build/html 8000

.PHONY: clean
clean: ## remove what was built; keeps .venv
	@rm -rf _build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find pscore evidence tests tools chapters -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: distclean
distclean: clean ## remove .venv too
	@rm -rf .venv .venv-workflow *.egg-info build
