# Everything a person or CI runs. `make` alone prints what there is.
#
# The first target that needs it makes .venv, from nothing but Python 3.11 or
# newer, and installs the program and its development tools into it; it is
# done again only when pyproject.toml changes.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

VENV ?= .venv
BIN := $(VENV)/bin
# Words for the benchmarks: make bench BENCH="--rounds 3 requests latency"
BENCH ?=
# Words for the lock: make lock LOCK=--upgrade
LOCK ?=
STAMP := $(VENV)/.stamp
# Tests that mind no other load may run two at a time; the others measure, or time what they see.
APART := $(addprefix tests/,admin benchmarks cli config control daemon dataplane discovery grafana \
	health helm image metrics model policy rollout sources)

help:  ## print this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(STAMP)  ## run the proxy with two small upstreams and print what to try
	@$(BIN)/tenantproxy demo

test: $(STAMP) servers checkov lint types unit  ## set up, lint, types, tests: what CI runs

test-full: test  ## the same, and the long trials
	$(BIN)/pytest -m trial --timeout 1800

lint: $(STAMP)  ## style, formatting, the direction of imports, the Dockerfile
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile

types: $(STAMP)  ## mypy --strict
	$(BIN)/mypy

unit: $(STAMP)  ## the tests without the long trials
	$(BIN)/pytest -m "not trial" -n 2 --dist loadfile $(APART)
	$(BIN)/pytest -m "not trial" $(APART:%=--ignore=%)

bench: $(STAMP) peers  ## every benchmark against every peer; half an hour on an idle machine
	$(BIN)/python -m benchmarks $(BENCH)

bench-quick: $(STAMP) peers  ## the main benchmarks against HAProxy, in about a minute
	$(BIN)/python -m benchmarks --quick

observe: $(STAMP) servers  ## a real Prometheus on a demo where everything goes on
	@$(BIN)/python -m tools.observe

docs: $(STAMP)  ## write again what comes from code: parts of docs/ and of the chart, dashboards
	$(BIN)/python -m tools.docs
	$(BIN)/python -m grafana

lock: $(STAMP)  ## pin what the image installs, with hashes: requirements*.txt
	@VENV=$(VENV) tools/lock.sh $(LOCK)

sbom: $(STAMP)  ## list what the image's environment holds: dist/sbom.cdx.json
	@VENV=$(VENV) tools/sbom.sh dist/sbom.cdx.json

image:  ## build the container image with docker, podman or buildah
	@tools/image.sh

setup: $(STAMP)  ## make the virtual environment and nothing else

servers:  ## install the real servers that tests talk to (Debian, as root)
	@tools/servers.sh

checkov: $(STAMP)  ## install checkov, which looks at what the chart renders
	@tools/checkov.sh $(VENV)

peers: $(STAMP)  ## install the proxies and load generators of the benchmarks (Debian, PyPI)
	@tools/peers.sh $(VENV)

clean:  ## remove the virtual environment and every cache
	rm -rf $(VENV) .venv-checkov .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find tenantproxy grafana tests tools benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml tools/setup.sh
	@tools/setup.sh $(VENV)
	@touch $@

.PHONY: help demo test test-full lint types unit bench bench-quick observe docs lock sbom image setup servers checkov peers clean
