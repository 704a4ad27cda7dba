# make run: sets up and runs the pipeline.  make test: sets up and runs the tests.
# make faults: kills, full disks, rivals and hostile files by the thousand, and each other test
# that takes minutes; half an hour.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test faults lint

run: .venv/installed
	$(BIN)/python run_pipeline.py

test: .venv/installed-dev
	$(BIN)/python -m pytest -n 2

faults: .venv/installed-dev
	$(BIN)/python -m pytest --ignore tests/faults -n 2 -m long -v
	$(BIN)/python -m pytest tests/faults -n 2 -m "" -v

lint: .venv/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: requirements.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/installed-dev: requirements-dev.txt .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@
