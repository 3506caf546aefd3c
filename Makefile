# Every target sets up what it needs: a virtual environment in $(VENV), filled step by step (run, test, lint)
# with the versions of constraints.txt, and filled again when those or a pyproject.toml change.

PYTHON ?= python3
VENV ?= .venv
PYTHONS ?= 3.11 3.12 3.13
ARGS ?=
# Processes that share the tests.
WORKERS ?= 2
# Python's development mode, with warnings as errors: as variables, because the processes that share the tests
# would not see options of the interpreter.
STRICTLY := PYTHONDEVMODE=1 PYTHONWARNINGS=error
# The percentage of branches and lines below which `make coverage` fails.
COVERAGE_FLOOR ?= 95

BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
REQUIREMENTS := pyproject.toml compat/pyproject.toml constraints.txt
TYPED := $(wildcard src compat/src tests/typing examples benchmarks)
FORMATTED := $(wildcard src compat tests examples benchmarks docs README.md)
SHELL_SCRIPTS := $(wildcard .ci/run)
DEMO_ARGS = $(if $(BACKEND),--backend '$(BACKEND)') $(if $(MODEL),--model '$(MODEL)') $(if $(LOOP),--loop '$(LOOP)') \
	$(if $(LIMIT),--limit '$(LIMIT)') $(ARGS)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: fuzz help demo test coverage test-all-pythons check lint types layers scripts bench plugin-matrix real-servers transformers-serve docs clean

help:  ## print this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1@\2/p' $(MAKEFILE_LIST) | awk -F@ '{ printf "%-26s %s\n", $$1, $$2 }'

demo: $(VENV)/.run-installed  ## run the demo; LOOP=trio BACKEND=ollama MODEL=... LIMIT=8, or ARGS="--loop trio"
	@$(BIN)/motet demo $(DEMO_ARGS)

test: $(VENV)/.test-installed  ## run the tests; ARGS="tests/test_import.py -k name"
	@$(STRICTLY) $(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

# Apart from `make test`, because tracing takes half as long again. `coverage run` starts before pytest does, so
# that what plugins import is counted, too.
coverage: $(VENV)/.test-installed  ## run the tests with branch coverage; fails below COVERAGE_FLOOR percent
	@$(BIN)/python -m coverage erase
	@failed=0; \
	$(STRICTLY) $(BIN)/python -m coverage run -m pytest -n $(WORKERS) $(ARGS) || failed=1; \
	$(BIN)/python -m coverage combine --quiet || failed=1; \
	$(BIN)/python -m coverage report --skip-empty --fail-under=$(COVERAGE_FLOOR) || failed=1; \
	exit $$failed

test-all-pythons:  ## run the tests on each of PYTHONS that this machine has
	@failed=; \
	for version in $(PYTHONS); do \
		where='import sys; print(sys.executable)'; \
		python=$$(python$$version -c "$$where" 2>/dev/null \
			|| PYENV_VERSION=$$version python$$version -c "$$where" 2>/dev/null) \
			|| { echo "== Python $$version: not found, skipped"; continue; }; \
		echo "== Python $$version"; \
		$(MAKE) --no-print-directory test PYTHON="$$python" VENV=.venv-$$version || failed="$$failed $$version"; \
	done; \
	[ -z "$$failed" ] || { echo "failed on:$$failed"; exit 1; }

check: lint types layers scripts  ## lint, formatting, types, layers, shell scripts

lint: $(VENV)/.lint-installed
	$(BIN)/ruff check $(FORMATTED)
	$(BIN)/ruff format --check $(FORMATTED)

# pyright needs node: the one on PATH, else the one that came with its `nodejs` extra. With --verifytypes it
# heeds no --pythonpath and asks the `python` on PATH where the packages are.
types: $(VENV)/.lint-installed
	$(BIN)/mypy $(TYPED)
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 PATH="$(abspath $(BIN)):$$PATH" pyright --ignoreexternal --verifytypes motet
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 PATH="$(abspath $(BIN)):$$PATH" pyright --ignoreexternal --verifytypes pytest_motet

layers: $(VENV)/.lint-installed
	$(BIN)/lint-imports --no-logo --no-cache

scripts:
	@for script in $(SHELL_SCRIPTS); do \
		echo "bash -n $$script"; bash -n "$$script" || exit 1; \
		test -x "$$script" || { echo "$$script is not executable"; exit 1; }; \
		if command -v shellcheck >/dev/null; then shellcheck "$$script" || exit 1; fi; \
	done

bench: $(VENV)/.test-installed  ## run the benchmarks; ARGS is passed on
	$(BIN)/python -m benchmarks $(ARGS)

plugin-matrix: $(VENV)/.test-installed  ## try the pytest plugin with pytest 8 and 9, with and without other plugins
	$(BIN)/python tests/outside/matrix.py

# Not of the tests: the packages are large, and a real server takes its time.
real-servers: $(VENV)/.test-installed  ## try the OpenAI backend on llama.cpp's own server, which it installs; ARGS="-k cancel"
	@$(PIP_INSTALL) xllamacpp gguf
	@MOTET_REAL_SERVERS=llama_cpp $(BIN)/python -m pytest -n0 -s \
		tests/real_servers/test_any_server.py tests/real_servers/test_llama_cpp.py $(ARGS)

# Where the target is a file in it; the argument is what to install.
define fill_a_new_environment
@$(PYTHON) -m venv $(@D)
@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $(1)
@touch $@
endef

# In an environment of its own: PyTorch is larger than all the rest, and only the server needs it.
TRANSFORMERS := .venv-transformers

transformers-serve: $(VENV)/.test-installed $(TRANSFORMERS)/.installed  ## the same on `transformers serve`, with PyTorch
	@MOTET_REAL_SERVERS=transformers MOTET_TRANSFORMERS=$(abspath $(TRANSFORMERS)/bin) \
		$(BIN)/python -m pytest -n0 -s \
		tests/real_servers/test_any_server.py tests/real_servers/test_transformers.py $(ARGS)

$(TRANSFORMERS)/.installed: constraints.txt
	$(call fill_a_new_environment,torch 'transformers[serving]')

# In an environment of its own: atheris is of no use to the tests and builds for few Pythons.
FUZZ := .venv-fuzz
SECONDS ?= 60
TARGETS ?= ndjson sse chunked decompress coding connection ollama openai errors

fuzz: $(FUZZ)/.installed  ## fuzz the parsers with atheris; SECONDS=600 TARGETS="sse chunked"
	@for target in $(TARGETS); do \
		echo "== $$target"; \
		PYTHONPATH=tests $(FUZZ)/bin/python -m fuzz.run $$target -max_total_time=$(SECONDS) -max_len=4096 \
			-timeout=10 -rss_limit_mb=2048 -print_final_stats=1 2>&1 | grep -vE '^(INFO|#[0-9]+[[:space:]]+(NEW|REDUCE|pulse))' || true; \
		found=$$(find . -maxdepth 1 -name 'crash-*' -o -maxdepth 1 -name 'timeout-*' -o -maxdepth 1 -name 'oom-*'); \
		[ -z "$$found" ] || { echo "$$target failed: $$found"; exit 1; }; \
	done

$(FUZZ)/.installed: pyproject.toml constraints.txt
	$(call fill_a_new_environment,atheris -e '.[httpx]')

docs:  ## list the pages of the documentation; they are plain Markdown
	@ls $(wildcard README.md compat/README.md docs/*.md)

clean:  ## remove what the other targets made
	rm -rf .venv .venv-3.* .venv-fuzz .venv-transformers .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	rm -rf build dist compat/build compat/dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo 'motet needs Python 3.11 or newer: make $(MAKECMDGOALS) PYTHON=python3.13'; exit 1; }
	@echo 'Making the virtual environment $(VENV) (only this once) ...'
	@$(PYTHON) -m venv $(VENV)

# One step upon the other, also with `make -j`: two pips at work in one environment would break it.
# The build backend comes first, so that constraints.txt holds for it, too.
$(VENV)/.run-installed: $(REQUIREMENTS) | $(BIN)/python
	@echo 'Installing motet into $(VENV) ...'
	@$(PIP_INSTALL) hatchling editables setuptools wheel
	@$(PIP_INSTALL) --no-build-isolation -e '.[cli,uvloop]' -e compat
	@touch $@

$(VENV)/.test-installed: $(VENV)/.run-installed
	@echo 'Installing what the tests need ...'
	@$(PIP_INSTALL) --no-build-isolation -e '.[test]'
	@touch $@

$(VENV)/.lint-installed: $(VENV)/.test-installed
	@echo 'Installing what the checks need ...'
	@$(PIP_INSTALL) --no-build-isolation -e '.[lint]'
	@touch $@
