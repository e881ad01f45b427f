# Every command sets up what it needs. `make help` lists them.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

VENV := .venv
PY := $(VENV)/bin/python
STAMPS := $(VENV)/.stamps
ARGS ?=

# `make test-gpu TENSORRT=tensorrt-cu13==11.4.0.106` installs a TensorRT from NVIDIA's own package index, where pip is told
# of it (PIP_EXTRA_INDEX_URL). In NVIDIA's container, `make test-gpu VENV_FLAGS=--system-site-packages` sees the one there.
TENSORRT ?=
VENV_FLAGS ?=

# The first Python that is new enough; `make PYTHON=/path/to/python3.12 …` chooses another.
PYTHON ?= $(shell for each in python3.11 python3.12 python3.13 python3.14 python3; do \
	"$$each" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo "$$each" && break; done)

# Two makes in two terminals must not install into one environment at the same time.
LOCK := $(shell command -v flock >/dev/null 2>&1 && mkdir -p .cache && echo 'flock .cache/venv.lock')

.PHONY: help demo up test test-gpu lint format bench chaos matrix published screenshots openapi routes schema options migrate migration clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | awk -F '\t' '{ printf "make %-10s %s\n", $$1, $$2 }'

demo: $(STAMPS)/base ## build a real published model three times on a farm of its own, and show the proof
	@$(PY) -m farm.demo $(ARGS)

up: $(STAMPS)/base ## run the embedded farm until Ctrl-C (ARGS='--port 9000 --workers 2')
	@$(PY) -m farm $(ARGS)

test: $(STAMPS)/test ## run all tests against real servers that they start (ARGS='tests/unit -k cache')
	@$(PY) -m pytest $(ARGS)

test-gpu: $(STAMPS)/test ## run the tests that need an NVIDIA GPU and TensorRT; without them they fail
	@if [ -n "$(TENSORRT)" ]; then $(PY) -m pip install --quiet --disable-pip-version-check --no-input '$(TENSORRT)'; fi
	@ENGINEHOUSE_TEST_GPU=1 $(PY) -m pytest tests/gpu $(ARGS)

lint: $(STAMPS)/lint ## ruff, mypy strict, and the direction of the imports
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports

format: $(STAMPS)/lint ## let ruff put the code into its form
	@$(VENV)/bin/ruff check --fix .
	@$(VENV)/bin/ruff format .

bench: $(STAMPS)/test ## measure the farm against the vendor's tools, side by side (minutes)
	@$(PY) -m benchmarks $(ARGS)

chaos: $(STAMPS)/test ## kill the whole farm in every way under load, and count what it lost (minutes; ARGS='--seed 2')
	@$(PY) -m chaos $(ARGS)

matrix: $(STAMPS)/test ## build for every target, and write docs/support-matrix.md and docs/real-models.md
	@ENGINEHOUSE_TEST_MATRIX=write $(PY) -m pytest tests/e2e/test_support_matrix.py tests/e2e/test_real_models.py $(ARGS)

published: $(STAMPS)/test ## send every graph that the onnx package publishes through the farm, and write docs/published.md
	@ENGINEHOUSE_TEST_PUBLISHED=all $(PY) -m pytest tests/e2e/test_published.py $(ARGS)

screenshots: $(STAMPS)/test ## take docs/screenshots of every page anew, wide and narrow, light and dark
	@ENGINEHOUSE_TEST_SCREENSHOTS=write $(PY) -m pytest tests/e2e/browser/test_screenshots.py $(ARGS)

openapi: $(STAMPS)/base ## write the API's description anew
	@$(PY) -m api.openapi > docs/openapi.json.new && mv docs/openapi.json.new docs/openapi.json

routes: $(STAMPS)/base ## write docs/routes.md, who may ask which address, anew
	@$(PY) -m api.roles > docs/routes.md.new && mv docs/routes.md.new docs/routes.md

schema: $(STAMPS)/base ## write the report's JSON schema anew
	@$(PY) -m enginehouse.report_schema > docs/report.schema.json.new && mv docs/report.schema.json.new docs/report.schema.json

options: $(STAMPS)/test ## write docs/options.md anew
	@$(PY) -m workers.backends.page > docs/options.md.new && mv docs/options.md.new docs/options.md

migrate: $(STAMPS)/base ## bring the configured database (ENGINEHOUSE_DATABASE_URL) to the newest schema
	@$(PY) -m scheduler.registry.migrate

migration: $(STAMPS)/base ## draft a migration from what the tables say now (NAME='add a column')
	@test -n "$(NAME)" || { echo "Say what it does: make migration NAME='add a column'" >&2; exit 1; }
	@$(PY) -c 'import sys, tempfile; from alembic import command; from scheduler.registry.migrate import config, upgrade; \
		url = "sqlite:///" + tempfile.mkdtemp() + "/draft.db"; upgrade(url); \
		command.revision(config(url), sys.argv[1], autogenerate=True)' "$(NAME)"

clean: ## remove what the commands made here: environment, demo farm, artifacts, caches
	rm -rf $(VENV) .farm out dist .cache .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

# --- set-up ---------------------------------------------------------------------------------

$(STAMPS)/base: EXTRAS := server,worker,embedded
$(STAMPS)/test: EXTRAS := server,worker,toolchains,embedded,test
$(STAMPS)/lint: EXTRAS := server,worker,embedded,lint

$(STAMPS)/base $(STAMPS)/test $(STAMPS)/lint: $(STAMPS)/%: pyproject.toml constraints.txt requirements-toolchains.txt | $(PY)
	@echo "Installing [$(EXTRAS)] into $(VENV) …"
	@$(LOCK) $(PY) -m pip install --quiet --disable-pip-version-check --no-input \
		--constraint constraints.txt --editable '.[$(EXTRAS)]'
	@case '$(EXTRAS)' in *toolchains*) $(LOCK) $(PY) -m pip install --quiet --disable-pip-version-check --no-input \
		--no-deps --requirement requirements-toolchains.txt;; esac
	@mkdir -p $(STAMPS) && touch $@

$(PY):
	@if [ -z "$(PYTHON)" ]; then \
		echo "Enginehouse needs Python 3.11 or newer, and found none on PATH." >&2; \
		echo "Install one (Debian: apt-get install python3 python3-venv), or name one: make PYTHON=/path/to/python3.11" >&2; \
		exit 1; fi
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) is not Python 3.11 or newer." >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) comes without venv and ensurepip. Debian: apt-get install python3-venv" >&2; exit 1; }
	@echo "Making $(VENV) with $$("$(PYTHON)" --version) …"
	@$(LOCK) "$(PYTHON)" -m venv $(VENV_FLAGS) $(VENV)
