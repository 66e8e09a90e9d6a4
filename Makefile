# PaperDesk. `make help` lists what there is; everything runs in .venv, which is made on first use.

PORT ?= 8000
DATA ?=
FEED ?=
FILES ?=
ARGS ?=

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
RUN := $(VENV)/bin/python
MANAGE := $(RUN) manage.py
PIP := $(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes
LOCK := $(RUN) -m uv pip compile --quiet --upgrade --generate-hashes --python-version 3.11 \
	--no-emit-index-url --no-emit-find-links --no-annotate --no-header

RUNTIME := $(VENV)/runtime.stamp
DEVELOPMENT := $(VENV)/development.stamp

.DEFAULT_GOAL := help
.PHONY: help run test faults check bench replay footprint lock

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1@\2/p' Makefile | column -t -s @ 2>/dev/null \
		|| sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1  \2/p' Makefile

run: $(RUNTIME) ## the whole desk; PORT=8000 DATA=var FEED=synthetic
	@exec $(MANAGE) desk --port $(PORT) $(if $(DATA),--data "$(DATA)") $(if $(FEED),--feed "$(FEED)")

test: $(DEVELOPMENT) ## every test; ARGS="-k name"
	@$(RUN) tests/browser.py
	@$(RUN) -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

faults: $(DEVELOPMENT) ## a whole desk under seeded faults; ARGS="--minutes 30 --seed 7"
	@$(RUN) -m tests.faults $(ARGS)

check: $(DEVELOPMENT) ## lint, types, layers, tidiness
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy
	@$(RUN) -m pytest -q tests/test_layers.py tests/test_tidy.py

bench: $(DEVELOPMENT) ## the benchmarks
	@$(RUN) -m bench $(ARGS)

replay: $(RUNTIME) ## recorded data through the whole flow; FILES="a.gz b.gz"
	@$(if $(FILES),,$(error name the captures: make replay FILES="a.gz b.gz"))$(MANAGE) replay $(FILES) \
		$(if $(DATA),--data "$(DATA)") $(ARGS)

footprint: $(RUNTIME) ## memory and processor share of the running desk
	@$(MANAGE) footprint $(if $(DATA),--data "$(DATA)") $(ARGS)

lock: $(DEVELOPMENT) ## newest versions into both lock files; the runtime's are a part of the development's
	@$(LOCK) requirements-dev.txt -o requirements-dev.lock
	@$(LOCK) requirements.txt -c requirements-dev.lock -o requirements.lock

$(RUN):
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "PaperDesk needs Python 3.11 or later; set PYTHON=/path/to/python3.11"; exit 1; }
	@"$(PYTHON)" -m venv $(VENV)

$(RUNTIME): requirements.lock | $(RUN)
	@echo "Installing what PaperDesk runs on into $(VENV) (once, a minute or two)"
	@$(PIP) -r requirements.lock
	@touch $@

$(DEVELOPMENT): requirements-dev.lock | $(RUN)
	@echo "Installing what the tests need into $(VENV) (once, a minute or two)"
	@$(PIP) -r requirements-dev.lock
	@touch $@ $(RUNTIME)
