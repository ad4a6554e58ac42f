# Everything a developer or a first-time user runs. `make help` lists it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help demo run test check format readme bench-words bench-latency bench-sessions bench-soak clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "captiond needs Python 3.11 or newer; say make PYTHON=python3.12, for example")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(STAMP) ## caption a speech file through WebRTC; DEMO=path/to.wav for your own
	@$(BIN)/captiond demo $(if $(DEMO),"$(DEMO)")

run: $(STAMP) ## start the daemon and print its addresses
	@$(BIN)/captiond serve

test: check ## run the checks and all tests; says what is skipped and why
	$(BIN)/pytest -rs -m "not e2e" -n 4
	$(BIN)/pytest -rs -m e2e

check: $(STAMP) ## formatting, lint, types, import rules
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP) ## format the code and mend what can be mended
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench-words: $(STAMP) ## words through WebRTC beside words from the file
	$(BIN)/python -m tests.bench.words $(ARGS)

bench-latency: $(STAMP) ## how late captions are, on one stream
	$(BIN)/python -m tests.bench.latency $(ARGS)

bench-sessions: $(STAMP) ## words lost and doubled where remote sessions end, 12 minutes
	$(BIN)/python -m tests.bench.sessions $(ARGS)

bench-soak: $(STAMP) ## memory and lag of one looping stream, 30 minutes
	$(BIN)/python -m tests.bench.soak $(ARGS)

readme: $(STAMP) ## bring the README's tables up to date
	$(BIN)/python -m tests.readme_tables

clean: ## remove what make made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
