# Two commands do everything on a fresh machine with Python 3.11:
#   make demo    a real discovery campaign in minutes
#   make test    the test suite
.PHONY: demo test setup lint docs gpaw clean help

PYTHON ?= python3.11
TESTS_AT_ONCE ?= 2
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

help:
	@echo "make demo    set up, then run a real discovery campaign (embedded database, machine-learned potential)"
	@echo "make test    set up, then run the test suite"
	@echo "make lint    ruff and mypy"
	@echo "make docs    the documentation as a site, docs/_build/html/index.html"
	@echo "make gpaw    add GPAW, open DFT (wants libxc and BLAS)"
	@echo "make clean   remove the virtual environment"

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) not found: install Python 3.11, or name yours: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "== setting up $(VENV): about 2.5 GB, two to five minutes the first time"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) \
	  || { echo "no venv module: 'apt-get install python3.11-venv' (Debian), then again" >&2; rm -rf $(VENV); exit 1; }
	@echo "== installing torch"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	@echo "== installing gnome-torch and what it stands on"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[embedded,chgnet,mp,serve,report,docs,dev]"
	@$(BIN)/python -m pip check
	@touch $@

demo: setup
	@echo "== a discovery campaign; Ctrl-C stops it, 'make demo' goes on from there"
	@$(BIN)/gnome demo

# two at a time, one thread each; those on SLURM, which share one, one after another
test: setup
	@echo "== the tests; at the end: what was skipped, and what it wants (GPAW: make gpaw; SLURM: slurm-wlm munge; the page: chromium)"
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TESTS_AT_ONCE) --dist loadgroup

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# what is wrong with a page is an error; `make test` builds the site too
docs: setup
	@$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going --nitpicky docs docs/_build/html
	@echo "the site: docs/_build/html/index.html"

# open DFT; wants Debian's libxc-dev and libopenblas-dev, or your system's libxc and BLAS
gpaw: setup
	@printf "mpi = False\ncompiler = 'gcc'\nlibraries = ['xc', 'blas']\n" > $(VENV)/gpaw-siteconfig.py
	@echo "== building GPAW, a minute"
	@GPAW_CONFIG=$(CURDIR)/$(VENV)/gpaw-siteconfig.py $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --constraint constraints.txt gpaw gpaw-data

clean:
	rm -rf $(VENV)
