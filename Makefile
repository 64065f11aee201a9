# `make help` lists everything. CI calls only targets of this file.

SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CORPUS ?= ../shared/corpus

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(READY): pyproject.toml .ci/constraints.txt
	@test -n "$(PYTHON)" || { echo "make: Python 3.11 or newer is needed"; exit 1; }
	@echo "Setting up $(VENV) (once) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c .ci/constraints.txt -e '.[dev]'
	@touch $@

.PHONY: setup
setup: $(READY) ## Make the virtual environment
	@$(BIN)/pre-commit install >/dev/null 2>&1 || true

.PHONY: demo
demo: $(READY) ## Decide on real-looking workloads over HTTPS; no cluster needed
	@$(BIN)/python -m tests.demo

.PHONY: test
test: check controlplane ## Check the code and run every test, end to end ones included
	@$(BIN)/pytest -q -m "not e2e" -n 2
	@$(BIN)/pytest -q -m e2e

.PHONY: unit
unit: $(READY) ## Run the tests that need no control plane
	@$(BIN)/pytest -q -m "not e2e" -n 2

.PHONY: e2e
e2e: controlplane ## Run the tests against a real API server
	@$(BIN)/pytest -q -m e2e

.PHONY: check
check: $(READY) ## Lint, types, layers and generated files
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo >/tmp/weighmaster-imports.$$$$ 2>&1 || { cat /tmp/weighmaster-imports.$$$$; exit 1; }
	@$(BIN)/weighmaster crds --output-dir crds --docs-dir docs/reference --check
	@$(BIN)/python -m weighmaster.chart --check
	@echo "lint, types, layers and generated files: fine"

.PHONY: format
format: $(READY) ## Format the code
	@$(BIN)/ruff check --quiet --fix . ; $(BIN)/ruff format .

.PHONY: generate
generate: $(READY) ## Generate CRDs, reference pages and parts of the chart from the code
	@$(BIN)/weighmaster crds --output-dir crds --docs-dir docs/reference
	@$(BIN)/python -m weighmaster.chart

.PHONY: renders
renders: $(READY) ## Write the golden renders of the chart; look at what changes
	@UPDATE_RENDERS=1 $(BIN)/pytest -q tests/chart/test_render.py -k as_it_was_looked_at

.PHONY: score
score: $(READY) ## Score detection against the labelled corpus (CORPUS=...)
	@$(BIN)/weighmaster detect --output jsonl $(CORPUS)/manifests 2>/dev/null | $(CORPUS)/score --corpus $(CORPUS)

.PHONY: bench
bench: $(READY) ## Measure admission beside a bare handler, and detection of the corpus
	@CORPUS=$(CORPUS) $(BIN)/python -m tests.bench

.PHONY: controlplane
controlplane: $(READY) ## Find or build etcd, kube-apiserver, kube-controller-manager, Helm (once)
	@$(BIN)/python -m tests.controlplane.binaries >/dev/null || true
	@$(BIN)/python -m tests.chart.program >/dev/null || true

.PHONY: cluster
cluster: controlplane ## Start a control plane with Weighmaster in it, to play with
	@$(BIN)/python -m tests.cluster

.PHONY: clean
clean: ## Remove what was built here
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .cluster dist
