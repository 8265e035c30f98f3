# make demo: install and run the demo; make test: install for development and run spelling, lint, types, import order,
# the site and tests; make docs: build the site into build/docs; make dist: build wheel and sdist, install the wheel into
# a fresh environment and try it.
PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test docs dist clean

demo: .venv/installed
	rm -rf demo
	$(BIN)/tag2mask demo --out demo

test: .venv/installed-dev
	git ls-files -z | xargs -0 $(BIN)/codespell
	$(BIN)/validate-pyproject pyproject.toml
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) docs
	$(BIN)/pytest

dist: .venv/installed-dev
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/pytest -m dist

docs: .venv/installed-dev
	rm -rf build/docs build/notebooks
	mkdir -p build
	cp -r docs/notebooks build/notebooks
	$(BIN)/pytest --nbmake --overwrite --nbmake-timeout=300 build/notebooks
	$(BIN)/sphinx-build -q -W -n --keep-going -b html docs build/docs
	@echo "build/docs/index.html"

.venv/created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tag2mask needs Python 3.11 or newer; try make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	touch $@

.venv/installed: .venv/created pyproject.toml
	$(BIN)/pip install -q -e .
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/pip install -q -e '.[dev]'
	touch $@

clean:
	rm -rf .venv demo dist build .mypy_cache .ruff_cache .pytest_cache
