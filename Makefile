# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OUT ?= demo
export OMP_NUM_THREADS ?= 1

.PHONY: demo test fast check bench docs env clean

env: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "braindec needs Python 3.11 or newer; run: make PYTHON=python3.11 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test,check]"
	touch $@

demo: env  ## the main job on the built-in synthetic cohort; writes $(OUT)/report.html
	$(BIN)/braindec run eeg_image_retrieval -j 2 --out $(OUT)

test: env  ## the whole suite
	$(BIN)/python -m pytest -n 2 --dist loadfile -q

fast: env  ## the suite without the slow tests
	$(BIN)/python -m pytest -n 2 --dist loadfile -q -m "not slow"

check: env  ## style, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: env  ## ratios against peers, measured in one run
	for file in tests/benchmarks/bench_*.py; do $(BIN)/python $$file || exit 1; done

docs: env
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	$(BIN)/sphinx-build -b html -W --keep-going docs docs/_build/html

clean:
	rm -rf $(VENV) build dist docs/_build .pytest_cache .mypy_cache .ruff_cache
