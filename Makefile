# make swarm, make test: from a fresh clone, with no more than Python 3.11 and a network.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: help swarm test lint compiled pure clean

help:   ## this list
	@awk -F':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

swarm: .venv/lab.stamp   ## a swarm of 50 peers on this machine
	$(BIN)/python experiments/run_swarm.py --peers 50

test: lint   ## lint, then every test
	$(BIN)/pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

lint: .venv/test.stamp   ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

compiled: .venv/test.stamp   ## the core and the simulation compiled, about twice as fast
	@command -v $${CC:-cc} >/dev/null || { echo "Minibit needs a C compiler: on Debian and Ubuntu, apt-get install gcc" >&2; exit 1; }
	MINIBIT_COMPILED=1 $(BIN)/python setup.py --quiet build_ext --build-lib .

pure:   ## pure Python again
	rm -rf minibit/_compiled

clean: pure   ## everything that make made, and caches; runs/ stays
	rm -rf .venv build .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/lab.stamp: EXTRAS := lab
.venv/test.stamp: EXTRAS := lab,test
.venv/%.stamp: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Minibit needs Python 3.11 or newer as $(PYTHON): install one, or say make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -m venv .venv || \
	    { echo "Minibit needs Python's venv: on Debian and Ubuntu, apt-get install python3-venv" >&2; exit 1; }
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]'
	@touch $@
