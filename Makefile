# The two commands a new user needs are `make demo` and `make test`; CONTRIBUTING.md lists the rest.
PYTHON ?= /usr/bin/python3
VENV ?= .venv
BIN = $(VENV)/bin
WORKERS ?= 4
# What hangs fails: no test comes near ten minutes.
PYTEST = $(BIN)/pytest -q --timeout 600

# What fails beside three other workers is tried once more by itself: real kernels keep nobody's time.
SYSTEM = $(PYTEST) tests/system tests/security tests/compat -m 'not peer and not vm'
# Emulated machines want the processors for themselves.
VM = $(PYTEST) tests/system -m vm

.PHONY: setup check lint types contracts unit test demo bench proto compat fuzz clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml tools/packages.sh
	tools/packages.sh
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check -e '.[dev]'
	touch $@

lint: setup
	$(BIN)/ruff format --check src tests tools
	$(BIN)/ruff check src tests tools

types: setup
	$(BIN)/mypy

contracts: setup
	$(BIN)/lint-imports

unit: setup
	$(PYTEST) -n $(WORKERS) tests/unit tests/contract tests/property

check: lint types contracts unit

test: check
	$(SYSTEM) -n $(WORKERS) --dist loadgroup || $(SYSTEM) --last-failed --last-failed-no-failures none
	$(VM) -n 2 --dist loadgroup || $(VM) --last-failed --last-failed-no-failures none

demo: setup
	$(BIN)/python -m tools.demo

bench: setup
	$(BIN)/python -m tools.bench

proto: setup
	$(BIN)/python -m tools.proto

compat: setup
	$(BIN)/pytest -q tests/compat

fuzz: setup
	SAMPAN_FUZZ=long $(BIN)/pytest -q tests/property

clean:
	rm -rf $(VENV) build dist *.egg-info src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
