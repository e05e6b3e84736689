# Short names for ordinary commands; README.md and CONTRIBUTING.md show the commands themselves.
#
#     make demo PYTHON=python3.12      another Python to make the environment with
#     make test ARGS="-k split"        more arguments for pytest
#     make test ARGS="-n 0"            all tests in this one process
#     make test VENV=/some/folder      another environment

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
TORCH ?= 2.13.0

BIN := $(VENV)/bin
# Python compiles what it imports when it first does; compiling all of torch and transformers ahead,
# as pip does by itself, is two thirds of the installation's work.
INSTALL := $(BIN)/python -m pip install --no-compile -c constraints.txt
# A process for each core, up to four, since each imports torch anew; one that is done takes tests
# over from the others.
TESTS := $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist worksteal
# An environment is made again from the lists only when one of them is newer than its stamp.
LISTS := pyproject.toml constraints.txt
CREATED := $(VENV)/.created
DEMO := $(VENV)/.installed-demo
IMAGES := $(VENV)/.installed-images
DEV := $(VENV)/.installed-dev

.DEFAULT_GOAL := help
.PHONY: help demo demo-images test check format benchmark constraints clean

help: ## show this list
	@echo "make TARGET, where TARGET is one of"
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  \1\t\2/p' Makefile | expand -t 16

demo: $(DEMO) ## install, then run the study news-to-reviews and write its report
	$(BIN)/transfuse run news-to-reviews

demo-images: $(IMAGES) ## install, then run the study animals on pictures and write its report
	$(BIN)/transfuse run animals

test: $(DEV) ## install, then run the tests
	$(TESTS) $(ARGS)

check: $(DEV) ## format, lint and types, without changing a file, then the tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(TESTS) $(ARGS)

format: $(DEV) ## put the code in its format and mend what the linter can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

benchmark: $(DEV) ## measure speed against the tools that people use today
	$(INSTALL) -e ".[benchmark]"
	$(BIN)/python -m benchmarks $(ARGS)

constraints: ## choose the exact releases anew and write constraints.txt
	.ci/constraints $(TORCH) $(PYTHON) > constraints.txt.new
	mv constraints.txt.new constraints.txt

clean: ## remove .venv and the caches of the tools
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build src/*.egg-info

$(CREATED):
	@command -v $(PYTHON) > /dev/null || { \
	  echo "There is no $(PYTHON) here. Transfuse needs Python 3.11 or newer;" \
	    "name yours with: make PYTHON=/path/to/python3"; exit 1; } >&2
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$(PYTHON) is $$($(PYTHON) --version 2>&1). Transfuse needs Python 3.11 or newer;" \
	    "name one with: make PYTHON=python3.12"; exit 1; } >&2
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(DEMO): $(CREATED) $(LISTS)
	$(INSTALL) -e ".[demo]"
	@touch $@

$(IMAGES): $(CREATED) $(LISTS)
	$(INSTALL) -e ".[demo,images]"
	@touch $(DEMO) $@

$(DEV): $(CREATED) $(LISTS)
	$(INSTALL) -e ".[dev]"
	@touch $(DEMO) $(IMAGES) $@
