# Set up, try, test, check. `make` alone lists what there is.
# Plain enough for GNU make 3.81 (macOS) and a POSIX shell.

VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.setup-done
CONSTRAINTS := .ci/constraints.txt
DEMO := demo_output
# 3.11 first: the pins were frozen on it. `make setup PYTHON=...` overrides.
PYTHON ?= python3.11 python3 python3.12 python3.13 python3.14
# Test processes; torch stays on one thread in each, or they fight over the cores.
JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench torture soak clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## create .venv and install vtok[dev] with the pinned versions

$(STAMP): pyproject.toml $(CONSTRAINTS)
	@if [ ! -x $(BIN)/python ]; then \
	  for candidate in $(PYTHON); do \
	    if $$candidate -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	      echo "creating $(VENV) with $$candidate"; \
	      $$candidate -m venv $(VENV) && break || exit 1; \
	    fi; \
	  done; \
	fi; \
	if [ ! -x $(BIN)/python ]; then \
	  echo "make setup: no Python 3.11 or newer among: $(PYTHON)." \
	       "Install one, or name it: make setup PYTHON=/path/to/python" >&2; \
	  exit 1; \
	fi
	@echo "installing vtok[dev] into $(VENV) (torch is large: the first time takes minutes)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --constraint $(CONSTRAINTS) --editable '.[dev]'
	@touch $(STAMP)

demo: $(STAMP) ## sample_images to tiles, features, indices, and back to images
	$(BIN)/vtok inspect sample_images
	$(BIN)/vtok tile sample_images $(DEMO)/tiles
	$(BIN)/vtok encode-continuous sample_images $(DEMO)/features
	$(BIN)/vtok encode-vq sample_images $(DEMO)/indices
	$(BIN)/vtok inspect $(DEMO)/indices
	$(BIN)/vtok decode-vq $(DEMO)/indices $(DEMO)/images --reference sample_images
	@say() { printf '  %-22s %6s  %s\n' "$$1" "$$(du -sh $$1 | cut -f1)" "$$2"; }; \
	echo; echo "The demo made, from sample_images:"; \
	say $(DEMO)/tiles "tiles and thumbnails in shards"; \
	say $(DEMO)/features "continuous tokens in shards"; \
	say $(DEMO)/indices "discrete tokens (VQ indices) in shards"; \
	say $(DEMO)/images "the images that the indices decode to: look at these"

test: $(STAMP) ## run the tests (no benchmarks; GPU tests skip where there is none)
	OMP_NUM_THREADS=1 $(BIN)/pytest --quiet -n $(JOBS) -m 'not bench'

check: $(STAMP) ## lint, format, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP) ## run every script of tests/bench and print its figures
	@for script in tests/bench/bench_*.py; do \
	  [ -e "$$script" ] || { echo "no benchmark in tests/bench"; break; }; \
	  echo "$(BIN)/python $$script"; \
	  $(BIN)/python "$$script" || exit 1; \
	done

torture: $(STAMP) ## every fault at every place, every broken file, and a table of them (ten minutes)
	OMP_NUM_THREADS=1 $(BIN)/pytest --quiet -n $(JOBS) --torture -m 'not bench' tests/torture

soak: $(STAMP) ## 200,000 images through two commands, watched and killed again and again (hours)
	$(BIN)/python tests/torture/soak.py

clean: ## remove the demo's output, caches and build leftovers; .venv stays
	rm -rf $(DEMO) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
