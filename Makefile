# Two commands do all the set-up on a machine with Python >= 3.11 (with venv) and make: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN_STAMP := $(VENV)/.installed-run
DEV_STAMP := $(VENV)/.installed-dev

.PHONY: demo test check fmt serve bench clean lock

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Tongbao needs Python >= 3.11; try: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(RUN_STAMP): $(BIN)/python pyproject.toml requirements/run.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

$(DEV_STAMP): $(BIN)/python pyproject.toml requirements/dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@ $(RUN_STAMP)

demo: $(RUN_STAMP)   ## everything on this machine: PostgreSQL, gateway, workers, sandbox, a small shop
	@$(BIN)/tongbao demo

serve: $(RUN_STAMP)  ## the gateway alone
	@$(BIN)/tongbao serve

test: $(DEV_STAMP)   ## every test, on a throwaway PostgreSQL
	$(BIN)/python -m pytest -n 2 -q

check: $(DEV_STAMP)  ## all that is static: format, lint, types, the arrows of the house
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fmt: $(DEV_STAMP)
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format --quiet .

bench: $(DEV_STAMP)
	$(BIN)/python -m bench

lock:  ## refresh the locks; they carry hashes and no index address
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --extra server -o requirements/run.lock pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --extra server --group dev -o requirements/dev.lock pyproject.toml

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
