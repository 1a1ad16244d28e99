# `make demo` and `make test` set up everything on first use.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Quiet TensorFlow's start-up lines; its errors stay.
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: demo test test-all lint bench install clean

demo: $(VENV)/.installed
	$(BIN)/python -m tools.demo --output_dir=demo

test: $(VENV)/.installed
	$(BIN)/python -m pytest

test-all: $(VENV)/.installed
	$(BIN)/python -m pytest -m "slow or not slow"

lint: $(VENV)/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

bench: $(VENV)/.installed
	$(BIN)/python -m tools.benchmark rendernet

install: $(VENV)/.installed

$(VENV)/.installed: setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	@echo "installing TensorFlow and friends (about 600 MB, once) ..."
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev,lite]'
	touch $@

clean:
	rm -rf $(VENV) demo runs
