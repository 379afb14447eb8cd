# Everything is made inside the repository: .venv (the environment), build/ (the demo), site/ (the documentation).
# Nothing is needed beforehand but make, git and a Python of at least 3.11; `make PYTHON=python3.13` chooses another.

PYTHON ?= python3
JOBS ?= 2
CALLS ?= 200000
KILLS ?= 1000
BENCH ?= $(sort $(filter-out benchmarks/_%,$(wildcard benchmarks/*.py)))

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input install --quiet --compile
DEMO := build/demo/calls.jsonl

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test test-fast check format docs docs-serve bench setup soak clean distclean

help:  ## this list
	@echo "streamgauge: make TARGET, where TARGET is one of"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{ printf "%-13s %s\n", $$1, $$2 }'

demo: $(VENV)/.installed $(DEMO)  ## set up, then play a made-up day into a real run
	@BIN=$(BIN) sh tools/demo.sh $(DEMO)

test: $(VENV)/.installed-dev  ## set up, then run every test
	@$(BIN)/python -m pytest -q -n $(JOBS)

test-fast: $(VENV)/.installed-dev  ## the same without the tests marked slow
	@$(BIN)/python -m pytest -q -n $(JOBS) -m "not slow"

soak: $(VENV)/.installed-dev  ## kill the program a thousand times under load (KILLS=n), and 10 000 fuzzed requests
	@$(BIN)/python tools/soak.py --kills $(KILLS)
	@STREAMGAUGE_FUZZ=10000 $(BIN)/python -m pytest -q tests/hostile

check: $(VENV)/.installed-dev  ## ruff, mypy --strict, and the fences between the parts
	@failed=0; \
	$(BIN)/ruff check || failed=1; \
	$(BIN)/ruff format --check --quiet || { echo "not formatted as ruff does it: make format"; failed=1; }; \
	$(BIN)/mypy || failed=1; \
	$(BIN)/lint-imports --no-cache || failed=1; \
	exit $$failed

format: $(VENV)/.installed-dev  ## let ruff format and mend what it can
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format

docs: $(VENV)/.installed-dev  ## build the documentation in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

docs-serve: $(VENV)/.installed-dev  ## show the documentation at 127.0.0.1:8000 while it is written
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve --dev-addr 127.0.0.1:8000

bench: $(VENV)/.installed-bench  ## measure every claim of docs/performance.md; BENCH=benchmarks/x.py for one
	@for script in $(BENCH); do echo "== $$script"; $(BIN)/python "$$script" || exit 1; done

setup: $(VENV)/.installed-dev  ## only set up

clean:  ## remove what was made, except the environment
	rm -rf build dist site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests $(wildcard benchmarks) -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean  ## remove the environment too
	rm -rf $(VENV)

$(DEMO): src/streamgauge/demo.py | $(VENV)/.installed
	@mkdir -p $(@D)
	@echo "Making $(CALLS) calls up in $@"
	@$(BIN)/python -c "from streamgauge.demo import write_calls; write_calls('$@', $(CALLS))"

$(VENV)/pyvenv.cfg:
	@sh tools/check-python.sh "$(PYTHON)"
	@echo "Making the environment in $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear $(VENV)

# One stamp for each set of libraries, so that a second run does nothing.
$(VENV)/.installed: EXTRA :=
$(VENV)/.installed-dev: EXTRA := [dev]
$(VENV)/.installed-bench: EXTRA := [bench]
$(VENV)/.installed $(VENV)/.installed-dev $(VENV)/.installed-bench: pyproject.toml $(VENV)/pyvenv.cfg
	@echo "Installing streamgauge$(EXTRA) in $(VENV)"
	@$(PIP) --editable '.$(EXTRA)' || { sh tools/check-python.sh --pip-failed; exit 1; }
	@$(BIN)/python -m compileall -q src || true
	@touch $@
