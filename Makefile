# Two commands do everything on a fresh machine: make demo, make test.
SHELL := /bin/bash
VENV := .venv
PYTHON := $(VENV)/bin/python
SUBMIT := $(VENV)/bin/spark-submit
# Some images set it; each of some hundred processes would compile slotwise anew.
unexport PYTHONDONTWRITEBYTECODE
# The first interpreter of a version that the lock covers.
BASE_PYTHON := $(shell for p in python3.11 python3.12 python3.10 python3; do command -v $$p >/dev/null 2>&1 && $$p -c 'import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && echo $$p && break; done)

.PHONY: help setup torch mlflow java chromium demo test lint tensorboard bench fuzz scaling verify-slots verify-kills soak compare-frameworks cluster cluster-yarn cluster-stop archive clean
help:            ## this list
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

setup: java $(VENV)/.java-classes.options  ## the environment in .venv, from the lock; Java 17 if it can be installed

$(PYTHON):
	@test -n "$(BASE_PYTHON)" || { echo "error: no Python 3.10, 3.11 or 3.12 with venv was found. Install one, for example: apt-get install python3 python3-venv"; exit 2; }
	$(BASE_PYTHON) -m venv $(VENV)

$(VENV)/.ready: requirements.lock pyproject.toml conf/link-spark.sh conf/spark-defaults.conf | $(PYTHON)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	bash conf/link-spark.sh $(VENV)
	touch $@

$(VENV)/.java-classes.options: $(VENV)/.ready conf/archive-classes.sh | java
	bash conf/archive-classes.sh $(VENV)

torch: setup $(VENV)/.torch-ready  ## PyTorch for --engine torch, from its own lock (some GB)

# What it needs beside is in the other lock, and no package in both: the two can be installed at the same time.
$(VENV)/.torch-ready: requirements-torch.lock | $(PYTHON)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-torch.lock
	touch $@

mlflow: setup $(VENV)/.mlflow-ready  ## MLflow for --mlflow-experiment, from its own lock (200 MB)

$(VENV)/.mlflow-ready: requirements-mlflow.lock $(VENV)/.ready
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock -r requirements-mlflow.lock
	touch $@

chromium:
	@bash conf/ensure-chromium.sh

java:            ## Java 17 or later, by apt where that is possible
	@bash conf/ensure-java.sh

demo: setup      ## prepare drawn covers, train on 1 and on 2 slots, compare; ends with the report's place
	$(SUBMIT) jobs/prepare.py --overwrite
	$(SUBMIT) jobs/compare.py --dataset workspace/datasets/demo --slots 1,2 --output workspace/comparison --overwrite

# A fresh environment's modules are compiled as they are imported; most never are.
test: export PIP_COMPILE := 0
test: java       ## lint, then all tests: real HDFS, real standalone cluster, real spark-submit
	@$(MAKE) --no-print-directory --jobs 3 --output-sync torch chromium
	@$(MAKE) --no-print-directory lint
	$(PYTHON) -m pytest -n 3 --dist loadfile --no-loadscope-reorder

lint: setup      ## ruff, mypy, import-linter; compose and Kubernetes files by schema
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check jobs
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-cache
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.compose-spec docker/compose.yaml
	$(VENV)/bin/check-jsonschema --schemafile docker/kubernetes/sparkapplication.schema.json docker/kubernetes/train.yaml
	$(VENV)/bin/kubernetes-validate --strict --quiet $(filter-out %/train.yaml,$(wildcard docker/kubernetes/*.yaml))

tensorboard: setup  ## TensorBoard on this machine for RUN=URI, a run or a directory of runs, wherever it is
	$(PYTHON) -m slotwise.tracking $(or $(RUN),workspace/runs)

bench: torch $(VENV)/.bench-ready  ## measured ratios against other programs, in turn: docs/results/bench.md
	$(PYTHON) -m benchmarks

$(VENV)/.bench-ready: requirements-bench.lock $(VENV)/.torch-ready
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock -r requirements-torch.lock -r requirements-bench.lock
	touch $@

fuzz: setup $(VENV)/.fuzz-ready  ## atheris at every reader of files from strangers, SECONDS=600 each; findings go to tests/fuzz/kept
	$(PYTHON) -m tests.fuzz --seconds $(or $(SECONDS),600)

$(VENV)/.fuzz-ready: requirements-fuzz.lock $(VENV)/.ready
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock -r requirements-fuzz.lock
	touch $@

scaling: setup   ## the all-reduce measured, and what it says of larger clusters: docs/scaling.md
	$(PYTHON) -m benchmarks.scaling measure
	$(PYTHON) -m benchmarks.scaling page

verify-slots: setup  ## the same weights from 1, 2, 3 and 4 slots in double precision, the same losses in single
	$(PYTHON) -m benchmarks.verify_slots

verify-kills: setup  ## 20 random strikes at trainings on a real cluster, each to end as the undisturbed run; what a strike costs
	$(PYTHON) -m benchmarks.verify_kills

soak: setup      ## an hour of training with a strike every ten minutes: the memory of driver, executors and slots, docs/results/soak.md
	$(PYTHON) -m benchmarks.soak

compare-frameworks: torch  ## TensorFlow and PyTorch on 1 and 2 slots, three times each in turn: one table
	$(SUBMIT) --master 'local[2]' jobs/study.py --config conf/compare-frameworks.toml --overwrite

cluster: setup   ## real HDFS, standalone master with two workers, History Server; ends them: make cluster-stop
	$(PYTHON) -m slotwise.localcluster start

cluster-yarn: setup  ## make cluster, with a YARN ResourceManager and NodeManager beside it
	$(PYTHON) -m slotwise.localcluster start --yarn

cluster-stop:    ## stop what make cluster started
	$(PYTHON) -m slotwise.localcluster stop

ARCHIVE := workspace/environment.tar.gz
archive: setup   ## what executors run from, in one file for --archives; make archive ARCHIVE=hdfs://… puts it there
	$(PYTHON) -m slotwise.archive --output $(ARCHIVE)

clean:           ## remove the environment and the workspace
	-test -x $(PYTHON) && $(PYTHON) -m slotwise.localcluster stop
	rm -rf $(VENV) workspace .pytest_cache .mypy_cache .ruff_cache .hypothesis lib/*.egg-info
