# Every target sets up what it needs, from nothing: the virtual environment, the dependencies, a broker.
#   make test ARGS="tests/unit -x"            hand arguments to pytest
#   make test AMQPTASKS_TEST_RELEASE=4.3      on one release of RabbitMQ
#   make PYTHON=python3.13 test               with another Python (3.11 or newer)

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
RELEASES := 3.10 4.0 4.3
# Tests wait for brokers most of the time: three files run side by side, each process with a broker of its own.
# A process of the tests that crashes ends the run: its other tests would not be run, and nobody would see why.
PARALLEL := -n 3 --dist loadfile --max-worker-restart 0

export AMQPTASKS_TEST_RELEASE AMQPTASKS_TEST_URL AMQPTASKS_TEST_MANAGEMENT_URL
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo test test-releases test-pythons test-long test-stores fuzz fuzz-long check format bench bench-growth bench-quick flames docs clean
.DELETE_ON_ERROR:

help: ## show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/installed-base ## see tasks flow, fail, come back and be dead-lettered
	$(BIN)/amqptasks demo --install $(ARGS)

test: .venv/installed-test test-broker ## run the tests on one RabbitMQ (the machine's own, or one installed now)
	$(BIN)/pytest $(PARALLEL) $(ARGS)

test-releases: .venv/installed-test ## run the tests on RabbitMQ 3.10, 4.0 and 4.3
	$(BIN)/python tests/releases.py install $(RELEASES)
	@failed=; for release in $(RELEASES); do \
	    echo "RabbitMQ $$release"; \
	    AMQPTASKS_TEST_RELEASE=$$release $(BIN)/pytest $(PARALLEL) $(ARGS) || failed="$$failed $$release"; \
	done; [ -z "$$failed" ] || { echo "failed on:$$failed"; exit 1; }

test-pythons: .venv/bin/python test-broker ## run the tests on each Python from 3.11 to 3.15 that is here (.venvs has their environments)
	$(BIN)/python tests/pythons.py $(ARGS)

test-long: .venv/installed-test test-broker ## run the tests that take minutes: kills, cuts, long delays
	$(BIN)/pytest -m long $(ARGS)

test-stores: .venv/installed-test .venv/installed-test-stores test-broker ## run the tests of result stores, each on its server: the machine needs PostgreSQL, MariaDB and Redis
	AMQPTASKS_TEST_STORES=1 $(BIN)/pytest $(PARALLEL) -m 'stores or not long' tests/stores tests/integration/test_results_by_id.py $(ARGS)

fuzz: .venv/installed-test ## a minute: some hundred examples of what comes from outside, for each reader of it
	$(BIN)/pytest tests/fuzz $(ARGS)

fuzz-long: .venv/installed-test ## 30 minutes: five for each reader; crashes go to tests/fuzz/corpus (ARGS=--atheris: by coverage)
	$(BIN)/python -m tests.fuzz $(ARGS)

check: .venv/installed-check ## style, types and layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/installed-check ## mend what can be mended of the style
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: .venv/installed-bench test-broker ## 40 minutes (ARGS=--full: 70): measure, beside others on the same broker (--write: the report)
	$(BIN)/python -m benchmarks $(ARGS)

bench-growth: .venv/installed-bench test-broker ## 40 minutes: a million waiting tasks, a hundred queues, a million delayed tasks
	$(BIN)/python -m benchmarks --growth $(ARGS)

bench-quick: .venv/installed-bench test-broker ## 3 minutes: fails when a message costs more CPU than benchmarks/baseline.json says
	$(BIN)/python -m benchmarks --quick $(ARGS)

flames: .venv/installed-bench test-broker ## 1 minute: flame graphs of consuming and publish_many() into docs/flames/, as after-*.svg
	$(BIN)/python -m benchmarks.flames docs/flames after

docs: .venv/installed-docs ## build the documentation into site/
	$(BIN)/mkdocs build --strict

clean: ## delete what the other targets made, the virtual environment included
	rm -rf .venv .venvs build dist site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: test-broker
test-broker: .venv/installed-test
ifeq ($(AMQPTASKS_TEST_URL)$(AMQPTASKS_TEST_RELEASE),)
	@$(BIN)/python tests/releases.py install
else ifneq ($(AMQPTASKS_TEST_RELEASE),)
	@$(BIN)/python tests/releases.py install $(AMQPTASKS_TEST_RELEASE)
endif

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "$(PYTHON) is too old: amqptasks needs Python 3.11. Another one: make PYTHON=python3.13"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/installed-base: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --editable .
	@touch $@

.venv/installed-%: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --editable '.[$*]'
	@touch $@
