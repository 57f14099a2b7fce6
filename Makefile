# Run `make` for the list. Every target installs what it needs on a fresh Debian or Ubuntu machine (root or sudo).
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo

.DEFAULT_GOAL := help
.PHONY: help check test test-docker test-server test-cluster soak bench bench-backup demo demo-down docs wheel engine images clean

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/moorage: pyproject.toml
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || tests/machine/apt-install.sh python3-venv
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --editable . --group dev
	@touch $@

check: $(BIN)/moorage ## Lint, types, fences, unit and golden tests: seconds, offline.
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/pytest -n auto -m "not docker and not server and not slow" --ignore tests/docker --ignore tests/cluster

engine: ## A Docker engine that answers (installs and starts one where none does).
	@$(PYTHON) tests/machine/engine.py ensure

images: engine ## The images that tests and demo run; built here where no registry can be reached.
	@$(PYTHON) tests/images/build.py --pull-first --all

test: check images ## Everything that CI runs, in a few minutes.
	@$(BIN)/pytest -n auto -m "slow and not docker and not server" --ignore tests/docker --ignore tests/cluster
	@$(BIN)/pytest -m "docker or server" -n 2 --dist loadfile --ignore tests/docker/test_job_parts.py --ignore tests/cluster
	@$(BIN)/pytest tests/docker/test_job_parts.py -n 4 --dist load

test-cluster: $(BIN)/moorage engine ## The tests against a real Kubernetes, compiled here once: ten minutes, then two.
	@$(PYTHON) tests/images/build.py --pull-first busybox:stable moorage-test/server:trixie
	@$(BIN)/python tests/cluster/cluster.py prepare --node
	@$(BIN)/pytest tests/cluster

soak: $(BIN)/moorage images ## The randomised tests with their full counts.
	@MOORAGE_MUTANTS=1 $(BIN)/pytest -m slow tests/parity -n auto -q
	@MOORAGE_KILLS=20 $(BIN)/pytest -m slow tests/docker -q
	@MOORAGE_KILLS=30 $(BIN)/pytest tests/docker/test_restores.py tests/docker/test_job_parts.py -k "killed or test_night or test_restores or test_restic" -q

bench: $(BIN)/moorage images ## Speed as ratios in one run, against what a user would use instead.
	@$(BIN)/python tests/bench/bench.py

bench-backup: $(BIN)/moorage images ## Backups as ratios in one run, on a database of 2 GB, against pg_dump | gzip.
	@tests/bench/backup.sh

demo: $(BIN)/moorage ## Bring the demo app up for real, and prove it.
	@$(PYTHON) tests/machine/engine.py ensure
	@$(PYTHON) tests/images/build.py --pull-first traefik:v3.7.15 postgres:17 redis:7 python:3.11-slim
	@PATH="$(CURDIR)/$(BIN):$$PATH" tests/demo/demo.sh $(DEMO)

demo-down: ## Remove the demo and its data.
	@test ! -d $(DEMO) || $(BIN)/moorage -C $(DEMO) uninstall --purge --name demo
	@rm -rf $(DEMO)

docs: $(BIN)/moorage ## Write the generated reference pages anew.
	@$(BIN)/python docs/generate.py

wheel: $(BIN)/moorage ## Build the wheel.
	@$(BIN)/python -m pip install --quiet build
	@$(BIN)/python -m build --wheel --outdir dist

clean: ## Remove what was built.
	@rm -rf dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
