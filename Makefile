# make run     everything from a bare machine to a server: virtual environment, packages, model, serve
# make test    set-up and the whole suite
# make clients the part of it that other projects' clients run
# make bench   the measured claims
# make device-check  whether this machine's device is right and fast, in at most 8 minutes
# make lint    ruff and mypy alone

MODEL ?=
HOST ?=
PORT ?=
ARGS ?=
PYTHON ?= python3
VENV ?= .venv

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev

# The clients' packages are no part of the server's environment, and do not all go together.
CLIENTS := tests/clients
OPENAI3 := $(VENV)-openai3
OPENAI2 := $(VENV)-openai2
NODE_MODULES := $(CLIENTS)/node/node_modules

.DEFAULT_GOAL := run
.PHONY: run test clients bench device-check lint typecheck clean blas

run: $(STAMP) blas
	exec $(BIN)/python app.py $(if $(MODEL),"$(MODEL)") $(if $(HOST),--host $(HOST)) $(if $(PORT),--port $(PORT)) $(ARGS)

test: lint blas
	$(BIN)/python -m pytest -n 2 --dist loadfile
	$(MAKE) clients

clients: $(DEV_STAMP) $(OPENAI3)/.installed $(OPENAI2)/.installed $(NODE_MODULES)/.installed blas
	$(BIN)/python -m tests.clients $(OPENAI3) $(OPENAI2)

bench: $(DEV_STAMP) blas
	$(BIN)/python -m benchmarks.compare_servers $(ARGS)

device-check: $(STAMP) blas
	$(BIN)/python -m benchmarks.device $(ARGS)

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

$(VENV)-%/.installed: $(CLIENTS)/%/requirements.txt | $(BIN)/python
	$(PYTHON) -m venv $(VENV)-$*
	$(VENV)-$*/bin/python -m pip --disable-pip-version-check install -r $<
	@touch $@

# npm, too, comes from the environment of requirements: a system's own may be too old for the packages.
$(NODE_MODULES)/.installed: $(CLIENTS)/node/package.json $(CLIENTS)/node/package-lock.json $(OPENAI3)/.installed
	cd $(CLIENTS)/node && PATH="$(abspath $(OPENAI3))/bin:$$PATH" npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

# On a Linux CPU MLX is an order of magnitude faster with OpenBLAS; without it the server still runs.
blas: $(STAMP)
	@$(BIN)/python -m api.engine.cpu.blas.install

clean:
	rm -rf $(VENV) $(OPENAI3) $(OPENAI2) $(NODE_MODULES) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
