# make run     everything from a bare machine to a server: virtual environment, packages, model, serve
# make test    set-up and the whole suite
# make bench   the measured claims
# make lint    ruff and mypy alone

MODEL ?=
HOST ?= 0.0.0.0
PORT ?= 8000
ARGS ?=
PYTHON ?= python3
VENV ?= .venv

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev

.DEFAULT_GOAL := run
.PHONY: run test bench lint typecheck clean blas

run: $(STAMP) blas
	exec $(BIN)/python app.py $(if $(MODEL),"$(MODEL)") --host $(HOST) --port $(PORT) $(ARGS)

test: lint blas
	$(BIN)/python -m pytest

bench: $(DEV_STAMP) blas
	$(BIN)/python -m benchmarks.compare_servers $(ARGS)

lint: $(DEV_STAMP)
	$(BIN)/ruff check .
	$(BIN)/mypy --strict api app.py test_api.py

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed ($(PYTHON) is older); try: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "python3 -m venv failed; on Debian: apt-get install python3-venv"; exit 1; }

$(STAMP): requirements.txt | $(BIN)/python
	$(PIP) install -r requirements.txt
	@touch $@

$(DEV_STAMP): requirements-dev.txt $(STAMP)
	$(PIP) install -r requirements-dev.txt
	@touch $@

# On a Linux CPU MLX is an order of magnitude faster with OpenBLAS; without it the server still runs.
blas: $(STAMP)
	@$(BIN)/python -m api.engine.model_loader.install_blas

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
