# Two commands do everything from a checkout: `make run` and `make test`. They need python3 (>= 3.11) and make.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q

.PHONY: run test check bench fix build docs
.DELETE_ON_ERROR:

run: .venv/core.done
	@$(BIN)/localai pull starter
	@exec $(BIN)/localai serve

test: .venv/dev.done
	$(BIN)/pytest $(TESTS)

check: .venv/dev.done
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports
	$(BIN)/python docs/generate.py --check

fix: .venv/dev.done
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/python docs/generate.py

bench: .venv/dev.done
	$(BIN)/python -m benchmarks

build: .venv/dev.done
	$(BIN)/python -m hatchling build

.venv/made:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "LocalAI needs Python 3.11 or newer; set PYTHON=...")'
	$(PYTHON) -m venv .venv
	@touch $@

.venv/core.done: .venv/made requirements/core.lock requirements/build.lock pyproject.toml
	@echo "Installing the locked packages into .venv ..." >&2
	@$(PIP) install --require-hashes -r requirements/build.lock -r requirements/core.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

.venv/dev.done: .venv/core.done requirements/dev.lock
	@echo "Installing the locked tools for tests and checks into .venv ..." >&2
	@$(PIP) install --require-hashes -r requirements/dev.lock
	@touch $@
