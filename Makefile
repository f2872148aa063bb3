# `make demo` and `make test` are all you need; each sets itself up in .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest -n 2

.PHONY: demo test slow peers soak mutation mutants lint bench notebooks tutorials course site release clean

demo: $(VENV)/core
	$(BIN)/minifcn demo

test: $(VENV)/test
	$(PYTEST) -m "not slow and not peers and not browser and not notebooks and not course"

slow: $(VENV)/test
	$(PYTEST) -m "slow and not peers and not browser and not notebooks and not course"

peers: $(VENV)/peers
	$(BIN)/python -m pytest -m peers tests/peers

# kills, hostile files, threads, steady work: docs/limits.md; FULL=1 does five times as much
soak: $(VENV)/soak
	$(BIN)/python -m tests.soak $(if $(FULL),--full)

# changes lines of the code, and counts how many changes the tests notice; MODULE=data for one room,
# MODULE="data 20" for twenty of its changes
mutation: $(VENV)/soak
	$(BIN)/python -m tests.soak.mutation $(MODULE)

mutants: $(VENV)/test
	$(BIN)/python -m tests.gradcheck.mutants

lint: $(VENV)/test
	$(BIN)/ruff check .

bench: $(VENV)/peers
	$(BIN)/python -m benchmarks

# opens the notebooks in JupyterLab
tutorials: $(VENV)/tutorials
	$(BIN)/jupyter lab tutorials

# runs them all in fresh kernels and compares; WRITE=1 rewrites what is committed
notebooks: $(VENV)/tutorials
	WRITE=$(WRITE) $(BIN)/python -m pytest -m notebooks --session-timeout 720 tests/notebooks

# A course from a copied folder to feedback: nbgrader, Gradescope's zip, the command line.
course: $(VENV)/course
	@if $(BIN)/python -c "import sys; sys.exit(sys.version_info < (3, 11))"; then \
		$(BIN)/python -m pytest tests/course; \
	else \
		echo "skipped: nbgrader needs Python 3.11 or newer"; \
	fi

site: $(VENV)/site
	$(BIN)/python -m sphinx -W --keep-going -q -j 2 -d build/doctrees docs build/site
	$(BIN)/python -m pytest -m browser
	@echo "open build/site/index.html"

# Source distribution and wheel, their metadata, and the tests of the wheel.
release: $(VENV)/release
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*
	$(BIN)/python -m pytest -m wheel

clean:
	rm -rf $(VENV) build dist *.egg-info

# One stamp for each set of extras, made anew when the requirements change.
$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/core: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/test: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[test]"
	touch $@ $(VENV)/core

$(VENV)/site: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[test,tutorials,site]"
	touch $@ $(VENV)/core $(VENV)/test $(VENV)/tutorials

# atheris has no build for some systems and Pythons; then its part is left out
$(VENV)/soak: $(VENV)/test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[test,soak]" || true
	touch $@

$(VENV)/release: $(VENV)/test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check build twine
	touch $@

$(VENV)/tutorials: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[test,tutorials]"
	touch $@ $(VENV)/core $(VENV)/test

$(VENV)/course: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[test,course]"
	touch $@ $(VENV)/core $(VENV)/test

# the CPU build of PyTorch where there is one, before anything asks for a newer build with CUDA
$(VENV)/peers: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[test,peers]"
	touch $@ $(VENV)/core $(VENV)/test
