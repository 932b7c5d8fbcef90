SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
CACHE  := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/llmbatch
# One virtual environment per set of pinned requirements, shared by every clone.
VERSION = $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
VENV    = $(CACHE)/venv-$(shell sha256sum < tests/requirements.txt | cut -c1-12)-$(VERSION)
SITE    = $(CACHE)/site-$(shell sha256sum < docs/requirements.txt | cut -c1-12)-$(VERSION)
BIN     = $(VENV)/bin
PY      = PYTHONPATH=operator:. $(BIN)/python

help:  ## Show what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{sub(/:.*/, "", $$1); printf "  make %-14s %s\n", $$1, $$2}'

venv:  ## Install the pinned Python packages
	@tests/suite/venv.sh "$(PYTHON)" "$(VENV)" tests/requirements.txt

demo: venv  ## Bring up a cluster, install llmbatch with an emulated gateway, run a batch
	@$(PY) -m tests.demo up

demo-down: venv  ## Remove what the demo made, without a trace
	@$(PY) -m tests.demo down

test: check  ## Run all checks and tests, those on a real cluster included (KEEP_CLUSTER=1 leaves it up)
	@$(PY) -m pytest -p tests.suite.plugin --durations=15

test-oldest: venv  ## Run the tests on the cluster on the oldest Kubernetes that is supported (builds it once, some 10 minutes)
	@KUBERNETES=oldest $(PY) -m pytest -p tests.suite.plugin -m 'cluster and not gitops' $(or $(TESTS),tests/cluster tests/e2e)

check: venv  ## Style, types, layers, generated files, the chart
	@$(PY) -m tests.checks

cluster-up: venv  ## Bring up a real single-node cluster (or use KUBECONFIG, or kind)
	@$(PY) -m tests.cluster up

cluster-down: venv  ## Take that cluster down again, without a trace
	@$(PY) -m tests.cluster down

image: venv  ## Build both images and load them into the cluster
	@$(PY) -m tests.cluster image

release: venv  ## Build, check, sign and push images and chart (REGISTRY=host/namespace SNAPSHOT=1 BASE=…@sha256:… SIGN_KEY=…)
	@$(PY) -m tests.release --registry '$(REGISTRY)' --base '$(BASE)' $(if $(SNAPSHOT),--snapshot) $(if $(OUTPUT),--output '$(OUTPUT)')

crds: venv  ## Generate the CustomResourceDefinitions from the models
	@$(PY) -m llmbatch crds crds charts/llmbatch/files/crds

docs: venv  ## Generate the parts of the documents that are made, and the dashboard
	@$(PY) -m tests.support.diagram
	@$(PY) -m tests.support.reference
	@$(PY) -m tests.support.reasons_table
	@$(PY) -m tests.chart.values_table
	@$(PY) -m tests.chart.metrics_table
	@$(PY) -m tests.gitops.argocd_cm
	@$(PY) -m tests.gitops.plain
	@$(PY) -m tests.dashboard.board

test-gitops: venv  ## Run the tests with Flux's and Argo CD's own controllers, on the cluster
	@$(PY) -m pytest -p tests.suite.plugin tests/gitops

docs-picture: venv  ## Draw docs/dashboard.svg from what Prometheus answers while jobs run (a minute)
	@$(PY) -m tests.dashboard.picture

docs-site:  ## Build the site of docs/ into build/site, with every warning as an error
	@tests/suite/venv.sh "$(PYTHON)" "$(SITE)" docs/requirements.txt
	@NO_MKDOCS_2_WARNING=1 $(SITE)/bin/mkdocs build --strict --site-dir build/site

chaos: venv  ## Kill processes under jobs on the real cluster, and judge (KILLS=500 SEED=1 QUOTA=6000)
	@$(PY) -m tests.chaos --kills $(or $(KILLS),100) $(if $(SEED),--seed $(SEED)) $(if $(QUOTA),--quota $(QUOTA))

chaos-large: venv  ## Run a million lines in ten parts on the real cluster, and hold the result against the provider's record (LINES= KILLS=30)
	@$(PY) -m tests.chaos.large --lines $(or $(LINES),1000000) --kills $(or $(KILLS),0)

bench-single: venv  ## Measure five requests beside a curl script, and the operator at rest
	@$(PY) -m tests.bench.single

bench-failover: venv  ## Measure how long it takes until another operator works
	@$(PY) -m tests.bench.failover

bench-memory: venv  ## Measure the operator's memory beside a gigabyte of other people's ConfigMaps and Secrets
	@$(PY) -m tests.bench.memory

bench-upload: venv  ## Measure a large upload beside curl
	@$(PY) -m tests.bench.upload

bench-large: venv  ## Measure a gigabyte in six parts beside jq, split, curl, sort and join
	@$(PY) -m tests.bench.large

bench-parts: venv  ## Measure the passes and calls of a job of 100 parts, and one of a single part beside an older release
	@$(PY) -m tests.bench.parts

bench-tenants: venv  ## Measure what a tenant's jobs wait for beside another one that means harm
	@$(PY) -m tests.bench.tenants

bench-scale: venv  ## Measure a hundred, a thousand and ten thousand jobs beside Jobs that run a script
	@$(PY) -m tests.bench.scale 100,1000 1000 10000 docs/scale.svg

bench-quota: venv  ## Measure many jobs of several namespaces that share one token quota (KILL=60: the leader dies each minute; SAID=1: nothing has to be learnt)
	@$(PY) -m tests.bench.quota 200 40 20 $(or $(KILL),0) $(or $(SAID),4)

fuzz: venv  ## Try a million inputs and answers that nobody would write (CASES= for more or fewer)
	@$(PY) -m tests.fuzz

.PHONY: help venv demo demo-down test test-gitops test-oldest check cluster-up cluster-down image release crds docs docs-picture docs-site chaos chaos-large fuzz bench-single bench-failover bench-memory bench-upload bench-large bench-parts bench-tenants bench-scale bench-quota
