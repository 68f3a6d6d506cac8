# Everything runs in a virtual environment of its own, made on first use: only Python 3.11+ and make are needed.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Two processes, each with whole files: most tests wait more than they compute. WORKERS=0 runs them in this one.
WORKERS ?= 2
PYTEST := -m pytest -n $(WORKERS) --dist loadfile
STAMP  := $(VENV)/.installed

# With the oldest versions that applications may have: what reads a framework's own parts, the contract, and stores.
LOWEST       := .venv-lowest
LOWEST_TESTS := tests/adapters/test_fastapi.py tests/adapters/test_fastapi_startup.py tests/adapters/test_flask.py \
	tests/adapters/test_starlette.py tests/adapters/test_litestar.py tests/adapters/test_websocket.py \
	tests/adapters/test_django.py tests/adapters/test_django_checks.py tests/adapters/test_django_private.py \
	tests/adapters/test_django_webhooks.py tests/adapters/test_drf.py tests/adapters/test_ninja.py \
	tests/contract/test_contract.py tests/contract/test_webhook_contract.py tests/contract/test_duties.py \
	tests/test_shared.py tests/test_stores.py tests/test_webhooks.py tests/test_public_api.py tests/packaging

.PHONY: demo test lowest lint types docs bench chaos fleet fuzz clean

demo: $(STAMP)  ## watch FastAPI, Flask and Django judge real requests; KEEP=1 stays up
	$(BIN)/python -m examples.demo $(if $(KEEP),--keep)

test: $(STAMP)  ## run the tests
	$(BIN)/python $(PYTEST) $(ARGS)

lowest: $(LOWEST)/.installed  ## run what matters with the lowest versions that pyproject.toml allows
	$(LOWEST)/bin/python $(PYTEST) $(or $(ARGS),-q $(LOWEST_TESTS))

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

docs: $(VENV)/.docs  ## build the documentation into docs/_build/html; a warning is an error
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

$(VENV)/.docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --group docs
	touch $@

bench: $(STAMP)  ## speed, as ratios to named baselines of the same run; ARGS="--quick", "--only NAME", "--write"
	$(BIN)/python -m benchmarks $(ARGS)

chaos: $(STAMP)  ## real servers under load while keys, API and Redis fail; exits 1 where a promise breaks
	$(BIN)/python -m tests.chaos $(ARGS)

fleet: $(STAMP)  ## eight processes through deploys, outages and fail-overs: what they ask of Hexclave; ARGS=--write
	$(BIN)/python -m tests.fleet $(ARGS)

fuzz: $(VENV)/.fuzz  ## break the parsers, bounded; ARGS="--seconds 300 --write"
	$(BIN)/python -m tests.fuzz $(ARGS)

$(VENV)/.fuzz: $(STAMP)
	$(BIN)/python -m pip install --quiet --group fuzz
	touch $@

$(STAMP): pyproject.toml Makefile
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable . --group test --group lint
	touch $@

$(LOWEST)/.installed: pyproject.toml Makefile
	$(PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --upgrade "pip>=25.1" packaging
	$(LOWEST)/bin/python -m tests.packaging.bounds > $(LOWEST)/constraints.txt
	$(LOWEST)/bin/python -m pip install --quiet --editable . --group test --constraint $(LOWEST)/constraints.txt
	touch $@

clean:
	rm -rf $(VENV) $(LOWEST) .nox .mypy_cache .pytest_cache .ruff_cache .hypothesis
