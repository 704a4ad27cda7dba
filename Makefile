# `make help` says what there is; `make` alone is `make run`.
PYTHON ?= python3
VENV := .venv/bin/python
INSTALL := $(VENV) -m pip install --disable-pip-version-check
# Each process keeps to neighbouring tests, which share what is made for them.
PYTEST := $(VENV) -m pytest -n 2 --dist worksteal

.PHONY: run test faults zoo lint help

run: .venv/installed  ## set up .venv, and run the pipeline on MNIST
	$(VENV) run_pipeline.py

test: .venv/installed-dev  ## run the test suite: some 8 minutes on two cores
	$(PYTEST)

faults: .venv/installed-dev  ## kills, full disks, rivals, hostile files, each slow test: half an hour
	$(PYTEST) --ignore tests/faults --ignore tests/zoo -m long -v
	$(PYTEST) tests/faults -m "" -v

zoo: .venv/installed-dev  ## bring layers and networks of Keras through every format: long
	$(PYTEST) tests/zoo -m ""

lint: .venv/installed-dev  ## formatting, lint and types
	$(VENV) -m ruff format --check .
	$(VENV) -m ruff check .
	$(VENV) -m mypy

help:  ## say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s%s\n", $$1, $$2}' Makefile

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: requirements.txt | .venv/bin/python
	@echo "Installing what requirements.txt names into .venv: some 100 packages, 2.9 GB on disk."
	@echo "That takes minutes, and only this once."
	$(INSTALL) -r requirements.txt
	touch $@

.venv/installed-dev: requirements-dev.txt .venv/installed
	@echo "Installing what the tests need into .venv."
	$(INSTALL) -r requirements-dev.txt
	touch $@
