# From a bare machine to a finished study: `make run`. Everything lives in .venv.
# PYTHON=/path/to/python3.12 chooses the interpreter; PIP_ARGS goes to every `pip install`.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --progress-bar off \
	--root-user-action ignore $(PIP_ARGS)
INSTALLED := $(VENV)/.installed
TEST_INSTALLED := $(VENV)/.installed-test
EXAMPLE ?= examples/digits-mlp.yaml
PROCESSES ?= 2
PYTEST_ARGS ?=

.PHONY: help install install-test run up test chaos lint lock docs screenshots clean

help:
	@echo "make run      install if needed, then search on handwritten digits"
	@echo "make up       install if needed, then run the service until Ctrl-C"
	@echo "make test     install if needed, then run every test; PROCESSES=1 for one after another"
	@echo "make chaos    kill and restart everything 200 times; KILLS=50 for a shorter one"
	@echo "make lint     format, lint, types and the layers of the code"
	@echo "make install  .venv with the pinned dependencies and .venv/bin/hpsearch"
	@echo "make lock     write the lock files from what .venv holds"
	@echo "make docs     write the generated pages of docs/reference"
	@echo "make screenshots  take the pictures of docs/screenshots (needs Chromium)"
	@echo "make clean    remove .venv and caches (never studies)"

install: $(INSTALLED)

install-test: $(TEST_INSTALLED)

run: $(INSTALLED)
	@$(BIN)/hpsearch run --new $(EXAMPLE)

up: $(INSTALLED)
	@$(BIN)/hpsearch up

test: $(TEST_INSTALLED)
	$(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist loadfile $(PYTEST_ARGS)

# the long form of tests/chaos, about ten minutes on two cores; a failure prints its seed
KILLS ?= 200
chaos: $(TEST_INSTALLED)
	$(BIN)/python -m pytest tests/chaos --kills $(KILLS) -o timeout=3600 $(PYTEST_ARGS)

lint: $(TEST_INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# To move to newer versions: $(BIN)/pip install --upgrade NAME, `make test`, `make lock`, commit.
lock: $(TEST_INSTALLED)
	$(BIN)/python tools/lock.py

docs: $(INSTALLED)
	$(BIN)/python tools/settings_reference.py
	$(BIN)/python tools/search_reference.py
	$(BIN)/python tools/definition_reference.py

screenshots: $(TEST_INSTALLED)
	$(BIN)/python tools/screenshots.py

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# A virtual environment with a suitable Python: the first of PYTHON, python3, python3.13 .. 3.11.
define make_venv
	@if ! $(BIN)/python -c '' 2>/dev/null; then \
	  found=; for python in "$(PYTHON)" python3 python3.13 python3.12 python3.11; do \
	    test -n "$$python" && command -v "$$python" >/dev/null || continue; \
	    if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	      then found="$$python"; break; fi; \
	    test "$$python" != "$(PYTHON)" || break; \
	  done; \
	  if test -z "$$found"; then \
	    echo "hpsearch needs Python 3.11 or newer; found: $$($(or $(PYTHON),python3) --version 2>&1)." >&2; \
	    echo "Install one, or name it: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; \
	    exit 1; fi; \
	  echo "making $(VENV) with $$($$found --version)"; \
	  rm -rf $(VENV); \
	  "$$found" -m venv $(VENV) || { rm -rf $(VENV); \
	    echo "This Python has no venv or ensurepip (Debian: apt install python3-venv)." >&2; \
	    exit 1; }; \
	fi
endef

$(INSTALLED): requirements.lock pyproject.toml
	$(make_venv)
	@echo "installing the pinned dependencies into $(VENV) (a minute or two; torch is large)"
	@$(PIP) -r requirements.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(TEST_INSTALLED): $(INSTALLED) requirements-test.lock
	@echo "installing what the tests need"
	@$(PIP) -r requirements-test.lock
	@touch $@
