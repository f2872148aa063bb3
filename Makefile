# `make demo` and `make test` are all you need; each sets itself up in .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NOTEBOOKS := $(wildcard tutorials/*.ipynb)
PYTEST := $(BIN)/python -m pytest -n 2

.PHONY: demo test slow peers mutants lint bench notebooks clean

demo: $(VENV)/core
	$(BIN)/minifcn demo

test: $(VENV)/test
	$(PYTEST) -m "not slow and not peers"

slow: $(VENV)/test
	$(PYTEST) -m "slow and not peers"

peers: $(VENV)/peers
	$(BIN)/python -m pytest -m peers tests/peers

mutants: $(VENV)/test
	$(BIN)/python -m tests.gradcheck.mutants

lint: $(VENV)/test
	$(BIN)/ruff check .

bench: $(VENV)/peers
	$(BIN)/python -m benchmarks

notebooks: $(if $(NOTEBOOKS),$(VENV)/tutorials)
	$(if $(NOTEBOOKS),$(BIN)/python -m pytest --nbmake $(NOTEBOOKS),@echo "tutorials/ holds no notebook yet")

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

$(VENV)/tutorials: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[test,tutorials]"
	touch $@ $(VENV)/core $(VENV)/test

# the CPU build of PyTorch where there is one, before anything asks for a newer build with CUDA
$(VENV)/peers: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[test,peers]"
	touch $@ $(VENV)/core $(VENV)/test
