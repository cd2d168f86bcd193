# Each target does all its own set-up; what it needs of the machine is Python 3.11 to 3.14 with venv, and make.
.DEFAULT_GOAL := help
.PHONY: help setup serve test torture check bench bench-peers docs reference lock clean examples
.DELETE_ON_ERROR:

PY      := .venv/bin/python
SERVE   := .venv/.serve
DEV     := .venv/.dev
MODELS  ?= models
ARGS    ?=
WORKERS ?= 2

help: ## What there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

$(SERVE): requirements/serve.txt pyproject.toml tools/install.py
	@python=$$(tools/find-python.sh) && "$$python" tools/install.py serve
	@touch $@

$(DEV): requirements/dev.txt pyproject.toml tools/install.py
	@python=$$(tools/find-python.sh) && "$$python" tools/install.py dev
	@touch $@ $(SERVE)

setup: $(DEV) ## .venv with everything for serving and developing

examples: $(SERVE) ## Train the example models that are missing
	@$(PY) examples/train_all.py --models $(MODELS)

serve: $(SERVE) ## Train the examples on first use and serve them on http://127.0.0.1:8000 (ARGS="--port 9000")
	@$(PY) examples/train_all.py --models $(MODELS)
	@.venv/bin/foretell serve $(MODELS) --default-model iris $(ARGS)

test: $(DEV) ## Every test under two minutes, with coverage (ARGS="-k name")
	@rm -f .coverage .coverage.*
	@$(PY) -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --cov --cov-report=term $(ARGS)

torture: $(DEV) ## The tests that take longer; a whole run (no ARGS) writes docs/explanation/torture.md
	@$(PY) -m pytest -m torture --timeout 3600 $(or $(ARGS),--report=docs/explanation/torture.md)

check: $(DEV) ## Style, types, layers, documentation
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-logo
	@$(PY) tools/check_docs.py

bench: $(DEV) ## Measure, beside the empty ASGI application and the tutorial app (ARGS="--quick", ARGS="--only singles")
	@$(PY) -m benchmarks $(ARGS)

bench-peers: $(DEV) ## Measure other model servers, each in an environment of its own (ARGS="--only litserve")
	@$(PY) -m benchmarks.peers $(ARGS)

docs: $(DEV) ## The documentation as a site, in site/
	@.venv/bin/zensical build --clean

reference: $(DEV) ## Write the generated pages of docs/reference and the measured figures on the pages anew
	@for page in settings errors cli schema issuers; do $(PY) tools/generate_$$page.py; done
	@$(PY) -m benchmarks.page

lock: $(DEV) ## Write requirements/*.txt anew
	@.venv/bin/uv pip compile -q pyproject.toml requirements/build.in --extra all $(LOCK) -o requirements/serve.txt
	@.venv/bin/uv pip compile -q pyproject.toml requirements/build.in --extra all --group dev -c requirements/serve.txt $(LOCK) -o requirements/dev.txt
LOCK := --universal --python-version 3.11 --no-build --generate-hashes --no-emit-index-url --no-emit-find-links \
	--no-config --custom-compile-command "make lock"

clean: ## Remove what was built; trained models stay
	@rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage .coverage.* .cache htmlcov site dist build
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
