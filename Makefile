SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
CACHE  := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/llmbatch
# One virtual environment per set of pinned requirements, shared by every clone.
VENV   := $(CACHE)/venv-$(shell cat tests/requirements.txt | sha256sum | cut -c1-12)-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
BIN    := $(VENV)/bin
PY     := PYTHONPATH=operator:. $(BIN)/python

help:  ## Show what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

$(VENV)/.done:
	@echo "Python environment: installing pinned packages into $(VENV) (about 1 minute)"
	@mkdir -p $(CACHE) && rm -rf $(VENV) && $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r tests/requirements.txt
	@touch $@

venv: $(VENV)/.done  ## Install the pinned Python packages

cluster-up: venv  ## Bring up a real single-node cluster (or use KUBECONFIG, or kind)
	@$(PY) -m tests.cluster up

cluster-down: venv  ## Take that cluster down again, without a trace
	@$(PY) -m tests.cluster down

image: venv  ## Build both images and load them into the cluster
	@$(PY) -m tests.cluster image

.PHONY: help venv cluster-up cluster-down image
