# Needs Python 3.11 to 3.13 and make; everything else comes into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONFIG ?= deploy/triaged.example.toml

.PHONY: demo serve test lint bench real-check held-out install clean

demo: $(VENV)/.core           ## Synthetic studies through a PACS and the daemon to a reordered list; the board stays up.
	$(BIN)/triaged demo

serve: $(VENV)/.core          ## Run the daemon with CONFIG=FILE.
	$(BIN)/triaged serve --config $(CONFIG)

# One process more than the two cores of the CI: tests of daemons and sockets wait a good part of their time.
test: $(VENV)/.dev            ## All tests. What needs Orthanc, dcmtk, dicom3tools or Chromium skips where it is absent.
	$(BIN)/pytest -n 3 --dist worksteal

lint: $(VENV)/.dev            ## Style, types, import arrows.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.dev           ## Speed, as ratios against a peer in the same run.
	$(BIN)/python -m tests.benchmarks

real-check: $(VENV)/.core     ## The real studies of ../shared/data (or TRIAGED_SHARED_DATA), where there are any. ARGS=--help
	$(BIN)/python -m training.realcheck $(ARGS)

held-out: $(VENV)/.core       ## Models on held-out synthetic cases, written to training/RESULTS.md. ARGS=--help
	$(BIN)/triaged evaluate --data phantom --results training/RESULTS.md $(ARGS)

install: $(VENV)/.core

# Stamps, so that a second run installs nothing. Constraints pin what was tested together.
$(VENV)/.core: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/.dev: $(VENV)/.core
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info
