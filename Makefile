# Every target makes .venv itself, from the pinned constraints.txt, when it is missing or out of date.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
.DEFAULT_GOAL := help
.PHONY: help demo test lint bench gpu-pretrain clean

help:
	@echo "make demo   speak a synthetic corpus, search, cross-validate, report, verify, predict (offline, no GPU)"
	@echo "make test   run the tests"
	@echo "make lint   style, types, import direction, spelling"
	@echo "make bench  side-by-side measurements of benchmarks/"
	@echo "make gpu-pretrain SPEECH=speech.csv STAGE=sec   a stage of pretraining on a GPU, some minutes a call"
	@echo "make clean  remove .venv, caches and runs"

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || { echo "mfas needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --editable '.[demo]' --group dev
	touch $@

demo: $(READY)
	$(BIN)/mfas demo --out runs/demo

test: $(READY)
	$(BIN)/python -m pytest -n auto

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

bench: $(READY)
	$(BIN)/python -m benchmarks

gpu-pretrain: $(READY)
	$(BIN)/python tools/gpu_pretrain.py $(SPEECH) $(STAGE)

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage runs dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
