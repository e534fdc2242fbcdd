# Coinwatch: every job in one word. A fresh clone needs python3 (3.11 or newer), make and git.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help demo up test coverage proof lint audit bench docs lock clean

help: ## list the jobs
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Coinwatch needs Python 3.11 or newer; set PYTHON=/path/to/python3"; exit 1; }
	@echo "Setting up $(VENV) (once, about a minute)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable . 2> $(VENV)/editable.log || { cat $(VENV)/editable.log; exit 1; }
	@touch $@

demo: $(READY) ## everything, against simulated exchanges: no network, no keys
	@exec $(BIN)/coinwatch up --demo

up: $(READY) ## everything, against the real exchanges
	@exec $(BIN)/coinwatch up

lint: $(READY) ## formatting, lint rules and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .

test: lint ## lint, then every test but the long proofs
	$(BIN)/pytest -n 4 --dist loadfile -m "not proof and not live" --durations=25

coverage: $(READY) ## the same tests, with the lines they cover; fails below the floor in pyproject.toml
	$(BIN)/pytest -n 4 --dist loadfile -m "not proof and not live" --cov --cov-report=term --cov-report=html

proof: $(READY) ## the long proofs
	$(BIN)/pytest -m proof --timeout 3600

audit: ## known vulnerabilities of the pinned packages, by the package index
	@.ci/audit

bench: $(READY) ## print the speed figures: half an hour, 15 GB of disk meanwhile
	$(BIN)/python -m bench.ingest
	$(BIN)/python -m bench.candles
	$(BIN)/python -m bench.dashboard
	$(BIN)/python -m bench.alerts

docs: $(READY) ## generate the pages on settings, the command line and the warehouse
	$(BIN)/python -m docs.generate

lock: $(READY) ## pin the newest versions that fit, with hashes
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile pyproject.toml --group dev --python-version 3.11 --universal --upgrade --no-header --no-annotate --no-emit-index-url --no-strip-extras --generate-hashes --quiet --output-file requirements.lock

clean: ## remove the environment and every cache; the data folder stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info test-output
