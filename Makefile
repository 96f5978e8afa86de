# People and CI run the same targets. A bare `make` lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
WORKERS ?= 2
HOST ?= 127.0.0.1
PORT ?= 8000
DATA_DIR ?= anchorwatch-data
CONFIG ?= anchorwatch.toml
BENCH ?= $(patsubst benchmarks/%.py,%,$(filter-out benchmarks/_%.py,$(wildcard benchmarks/*.py)))
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-header --no-annotate --group build pyproject.toml

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: $(VENV)/.runtime ## set up and watch a real stream live at http://127.0.0.1:8000
	$(BIN)/anchorwatch demo --host $(HOST) --port $(PORT)

.PHONY: serve
serve: $(VENV)/.runtime ## serve your own configuration (CONFIG=anchorwatch.toml)
	$(BIN)/anchorwatch serve --config $(CONFIG) --data-dir $(DATA_DIR) --host $(HOST) --port $(PORT)

# With -k one of the two runs may have nothing to do.
NONE_IS_FINE = $(if $(findstring -k,$(ARGS)),|| [ $$? = 5 ])

.PHONY: test
test: $(VENV)/.dev ## run every test, on two workers (WORKERS=n, ARGS="-k name")
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m "not kafka" $(ARGS) $(NONE_IS_FINE)
	@# a broker that shares two cores with everything else misses its own time limits
	$(BIN)/python -m pytest -m kafka $(ARGS) $(NONE_IS_FINE)

.PHONY: test-fast
test-fast: $(VENV)/.dev ## run the tests that start no process and take no five seconds
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m "not integration and not kafka and not browser and not slow" $(ARGS)

CHECKS := "ruff check ." "ruff format --check ." "mypy" "lint-imports --cache-dir .cache/import-linter" \
	"python -m tools.check_sizes" "python -m tools.check_exports"

.PHONY: check
check: $(VENV)/.dev ## lint, format, types, import directions, sizes, exports: all of them, then the verdict
	@status=0; for step in $(CHECKS); do echo "== $$step"; $(BIN)/$$step || status=1; done; exit $$status

.PHONY: fix
fix: $(VENV)/.dev ## repair what ruff can repair
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: bench
bench: $(VENV)/.dev ## print every figure of the README (BENCH=fold for one)
	@for name in $(BENCH); do echo "== benchmarks.$$name"; $(BIN)/python -m benchmarks.$$name; done

.PHONY: docs
docs: $(VENV)/.dev ## check that the documents name every command, key, metric and alert
	$(BIN)/python -m pytest -q tests/test_docs.py tests/test_packaging.py

.PHONY: lock
lock: $(VENV)/.dev ## renew both lock files from pyproject.toml
	$(LOCK) --upgrade --output-file requirements.lock
	$(LOCK) --upgrade --extra dev --constraint requirements.lock --output-file requirements-dev.lock

.PHONY: clean
clean: ## remove the environment, caches and the demo's data
	rm -rf $(VENV) .cache .pytest_cache .hypothesis build *.egg-info anchorwatch-data
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python: | tools/make_venv.sh
	tools/make_venv.sh $(VENV)

# The project itself is installed last, editable, with the locked setuptools and no look at an index.
$(VENV)/.runtime: requirements.lock pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --require-hashes -r requirements.lock
	@# setuptools warns of folders named like packages; that is what editable means here
	PYTHONWARNINGS=ignore $(PIP) install --quiet --no-index --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	$(PIP) install --quiet --require-hashes -r requirements-dev.lock
	@touch $@
