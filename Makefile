# `make help` lists the targets. Needs Python 3.11 to 3.13, make and git; everything else comes from requirements.lock.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help install up test check format lock bench clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

install: $(VENV)/.installed ## make .venv with the meta-insights command

# The stamp carries what the environment was made from, so that an unchanged lock costs nothing.
$(VENV)/.installed: requirements.lock setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || \
	  { echo "make: $(PYTHON) is $$($(PYTHON) --version 2>&1), but Python 3.11, 3.12 or 3.13 is needed; name one with make PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the packages of requirements.lock into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

up: install ## load the last 30 days and start the Dagster UI (META_INSIGHTS_MODE=live for real accounts)
	@exec $(BIN)/meta-insights up

test: install ## every test
	@$(BIN)/python -m pytest -n 2 --dist loadgroup

check: install ## format, lint, types, Dagster definitions, docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/dagster definitions validate --log-level warning
	$(BIN)/dg check toml
	$(BIN)/python -m meta_insights_pipeline_tests.check_docs

format: install ## format the code and mend what lint can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: install ## draw requirements.lock up again from setup.cfg
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --extra dev setup.cfg --output-file requirements.lock

bench: install ## the benchmarks, with a table at the end
	$(BIN)/python -m benchmarks

clean: ## remove the environment and every cache; data stays
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache
