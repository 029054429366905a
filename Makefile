# The commands of this project. Needs nothing but make and Python 3.11 to 3.13; everything else goes into .venv. With a C
# compiler it is fast; without one the same answers come slower.
#
#   make setup     .venv with every dependency at its locked version, and the command cdc-verifier
#   make demo      a whole run in one process, no Kafka needed
#   make test      every tier; REQUIRE_ALL=1 turns a skipped tier into a failure; TIERS="unit laws" picks some
#   make simulate  one simulated run: make simulate SEED=7
#   make soak      a long run on a real stack that works and breaks at random: make soak MINUTES=30 SEED=7
#   make bench     parts of it measured alone, as JSON
#   make compare   this verifier beside Kafka Streams, Quix and plain Python: make compare CHANGES=200000 ROUNDS=1
#   make scaling, make recovery, make tail   more of everything; kill -9; a steady rate: see docs/performance.md
#   make wheel     both packages into dist/, the kernel built for this platform and every Python from 3.11 on
#   make lock      resolve requirements.lock again, and docker/requirements.lock, the part of it that the image needs
#   make fmt       format and mend what a tool can mend

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.setup-done
SEED   ?=
MINUTES ?= 30
CHANGES ?= 1000000
ROUNDS ?= 5
PEERS  ?= ours,confluent,plain,streams,quix
JSON   ?=
TIERS  ?=

.PHONY: setup demo test simulate soak bench compare scaling recovery tail wheel lock fmt clean
.DEFAULT_GOAL := setup

setup: $(STAMP)

# Versions and hashes come from the lock alone; the local packages are added without looking for more. Bytecode is made at
# once, for environments that keep Python from writing it at each start.
$(STAMP): requirements.lock pyproject.toml setup.py $(wildcard receipts/pyproject.toml app/native/src/*.[ch])
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "Python 3.11 to 3.13 is needed; say which with: make setup PYTHON=/path/to/python3.12"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable ./receipts --editable .
	$(BIN)/python -m compileall -q app receipts/cdc_receipts schemas topologies
	@touch $(STAMP)

demo: setup
	$(BIN)/cdc-verifier demo

test: setup
	$(BIN)/python tests/tiers.py $(TIERS)

simulate: setup
	$(BIN)/python -m tests.simulation --seed $(or $(SEED),1)

# Without a seed it takes one and prints it.
soak: setup
	$(BIN)/python -m tests.soak --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

bench: setup
	$(BIN)/python -m benchmarks

# Each prints a table; JSON=FILE writes everything that was measured there. They need Java and Maven, for a real broker.
compare: setup
	$(BIN)/python -m benchmarks.compare --changes $(CHANGES) --rounds $(ROUNDS) --peers $(PEERS) $(if $(JSON),--json $(JSON))

scaling recovery: setup
	$(BIN)/python -m benchmarks.$@ --changes $(CHANGES) $(if $(JSON),--json $(JSON))

tail: setup
	$(BIN)/python -m benchmarks.tail $(if $(JSON),--json $(JSON))

wheel: setup
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist ./receipts .

# --universal: one lock for every Python and platform in pyproject.toml; the local package's own needs are in it.
LOCKED := pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-emit-package cdc-verifier-receipts --no-annotate --no-header --upgrade --quiet

lock: $(VENV)/lock/bin/uv
	$(VENV)/lock/bin/uv $(LOCKED) --extra dev --output-file requirements.lock
	$(VENV)/lock/bin/uv $(LOCKED) --extra build --constraint requirements.lock --output-file docker/requirements.lock

$(VENV)/lock/bin/uv:
	$(PYTHON) -m venv $(VENV)/lock
	$(VENV)/lock/bin/python -m pip install --quiet uv

fmt: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache
