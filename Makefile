# Needs make and Python 3.11 or newer with venv; everything else goes into .venv (see tools/setup).
#   ARGS=...      is passed on to the program that a target runs
#   PYTHON=...    the interpreter that .venv is made from

PY := .venv/bin/python
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help start test check bench clean setup setup-dev

help: ## show this list
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

start: setup ## start the daemon with a demonstration session
	@$(PY) -m cowork demo --start $(ARGS)

test: check ## run all checks and tests, for example: make test ARGS="-k frames"
	@PYTHONASYNCIODEBUG=1 PYTHONWARNINGS=error $(PY) -m pytest -n 2 $(ARGS)

check: setup-dev ## check style, types, layers and dependencies
	@$(PY) -m ruff check --quiet .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@.venv/bin/lint-imports --no-logo
	@$(PY) -m deptry src

bench: setup ## measure, for example: make bench ARGS=--help
	@$(PY) -m bench $(ARGS)

clean: ## remove .venv, caches and build results
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist
	find src tests bench tools -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

setup:
	@tools/setup runtime

setup-dev:
	@tools/setup dev
