# Everything a developer does here. Only a Python from 3.11 to 3.14 is needed: each target sets up what it needs the
# first time, and again when a lock file in requirements/ changes.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# Tests that search histories by a seed walk through sets: the same order in every process, the same histories.
export PYTHONHASHSEED := 0
# Packages are compiled when they are first imported, and kept: without that each process would compile them again.
unexport PYTHONDONTWRITEBYTECODE

# PYTHON=/path/to/python chooses one; each version then has an environment of its own.
VENV := .venv$(if $(PYTHON),-$(shell "$(PYTHON)" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null))
PYTHON ?= $(shell tools/find-python)
PY := $(VENV)/bin/python
SAM_VENV := .venv-sam
CHECKOV_VENV := .venv-checkov

TEMPLATE := template.yaml
BUILT := .aws-sam/build/template.yaml

# What may be set on the command line.
JOB ?=
CHANGE_LOG ?=
TABLE ?=
FILES ?=
MAPPINGS ?=
PROVIDERS ?=
ROWS ?=
FREQUENCY ?=
PROFILE ?=
FUNCTION ?=
EVENT ?=
CONFIG_ENV ?= default
ARGS ?=
HISTORIES ?=
TARGET ?=
KILLS_ROUNDS ?=
# Each worker has up to two Spark drivers of its own, which is what two cores carry. tests/conftest.py says which tests share
# a worker and in which order they run.
TEST_WORKERS ?= 2

# The SAM CLI: no telemetry, no question to PyPI for a newer version (its state folder says it has just asked).
SAM := SAM_CLI_TELEMETRY=0 __SAM_CLI_APP_DIR=$(CURDIR)/$(SAM_VENV)/state PYTHON=$(CURDIR)/$(PY) $(CURDIR)/$(SAM_VENV)/bin/sam
# Checks ask AWS nothing, so they get none of the caller's credentials.
OFFLINE := env -u AWS_PROFILE AWS_ACCESS_KEY_ID=none AWS_SECRET_ACCESS_KEY=none AWS_DEFAULT_REGION=us-east-1 \
  AWS_EC2_METADATA_DISABLED=true

COMPILE := .uv/bin/uv pip compile --quiet --no-config --generate-hashes --custom-compile-command "make lock"

# $(call install,folder,lock file)
define install
@[ -n "$(PYTHON)" ] || { echo "Python 3.11 to 3.14 is needed and was not found. Install one (apt install python3 \
python3-venv, brew install python@3.13, pyenv install 3.13, uv python install 3.13), or name it: \
make $(firstword $(MAKECMDGOALS) setup) PYTHON=/path/to/python3.13" >&2; exit 1; }
@"$(PYTHON)" tools/environment.py $(1) $(2) || { echo "$(PYTHON) could not set up $(1)" >&2; exit 1; }
endef

.PHONY: help setup run up check test lint format docs build validate deploy invoke bench bench-dispatch bench-job bench-standardize bench-scale bench-light bench-console pictures soak shuffle busy mutants cost security sbom lock release clean distclean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  \033[1m%-14s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.dev $(SAM_VENV)/.installed $(CHECKOV_VENV)/.installed ## Install everything that run, test, build and validate need

run: $(VENV)/.run ## Run the whole system once on this machine: JOB=standardize, CHANGE_LOG=dir, PROVIDERS=n, ROWS=n, FILES=dir MAPPINGS=dir, TABLE=yes
	@$(PY) -m demo run $(if $(JOB),--job $(JOB)) $(if $(FILES),--files "$(FILES)") \
	  $(if $(MAPPINGS),--mappings "$(MAPPINGS)") $(if $(CHANGE_LOG),--change-log "$(CHANGE_LOG)") $(if $(PROVIDERS),--providers $(PROVIDERS)) $(if $(TABLE),--table) \
	  $(if $(ROWS),--rows $(ROWS)) $(ARGS)

up: $(VENV)/.dev ## Keep the system running on this machine, with its schedule ticking, until Ctrl-C; TABLE=yes adds a table
	@exec $(PY) -m demo up $(if $(TABLE),--table) $(ARGS)

check: lint ## Before each commit, about a minute: lint, types, tests of units, template and tools
	@$(PY) -m pytest -n 2 -q -m "not benchmark and not network and not spark and not slow" tests/unit tests/template tests/tools $(ARGS)

test: $(VENV)/spark-classes.jsa ## Before a push, a quarter of an hour on two cores: all tests; ARGS="-k name" narrows them
	@$(PY) -m pytest -n $(TEST_WORKERS) --no-loadscope-reorder -m "not benchmark and not network" $(ARGS)

lint: $(VENV)/.dev ## ruff and mypy
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: $(VENV)/.dev ## Put the sources into the house's format
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

docs: $(VENV)/.dev ## Write docs/reference/ and the generated parts of other pages from the code; a test fails when they are stale
	@PYTHONPATH=functions:glue $(PY) -m tools.reference

build: $(VENV)/.dev $(SAM_VENV)/.installed ## Build what AWS will run, into .aws-sam/
	@$(OFFLINE) $(SAM) build --config-env $(CONFIG_ENV)

# One run of cfn-lint with all rules: its own, which are also those of `sam validate --lint`, and those for serverless.
validate: $(VENV)/.dev $(SAM_VENV)/.installed $(CHECKOV_VENV)/.installed ## Lint the template and the state machine, build, package, look at the package
	@$(CHECKOV_VENV)/bin/cfn-lint --append-rules cfn_lint_serverless.rules --non-zero-exit-code informational -- $(TEMPLATE)
	@echo "$(TEMPLATE): cfn-lint finds nothing"
	@$(PY) -m tools.definition $(TEMPLATE)
	@$(OFFLINE) $(SAM) build --config-env $(CONFIG_ENV)
	@SAM_CLI_TELEMETRY=0 __SAM_CLI_APP_DIR=$(CURDIR)/$(SAM_VENV)/state \
	  $(PY) -m tools.check_package --sam $(SAM_VENV)/bin/sam --template $(TEMPLATE) --built $(BUILT)
	@$(PY) -m pytest -q -n0 -m network tests/tools

deploy: $(VENV)/.dev $(SAM_VENV)/.installed ## Build and deploy to AWS with your credentials: CONFIG_ENV=default|dev|prod
	@$(SAM) build --config-env $(CONFIG_ENV)
	@$(SAM) deploy --config-env $(CONFIG_ENV) $(ARGS)

# With a container runtime: in Lambda's image. Without: the built handler in its own process, against `make up`.
invoke: $(VENV)/.dev $(SAM_VENV)/.installed ## Invoke a function with an event: FUNCTION=DispatchFunction EVENT=events/dispatch/good.json
	@[ -n "$(FUNCTION)" ] && [ -n "$(EVENT)" ] \
	  || { echo "Set both: make invoke FUNCTION=DispatchFunction EVENT=events/dispatch/good.json" >&2; exit 2; }
	@$(MAKE) build >&2
	@if docker info >/dev/null 2>&1 || finch info >/dev/null 2>&1; then \
	  $(SAM) local invoke "$(FUNCTION)" --event "$(EVENT)" $(ARGS); \
	else \
	  $(PY) -m laptop_cloud invoke "$(FUNCTION)" --event "$(EVENT)" --stack-name glue-fanout-dev $(ARGS); \
	fi

bench: bench-dispatch bench-job bench-standardize bench-scale bench-light bench-console ## Measure everything; tables, plots and JSON go to docs/bench/
	@$(PY) -m pytest tests/benchmarks -m benchmark -s

bench-dispatch: $(VENV)/.dev ## The dispatcher beside the article's serial loop
	@$(PY) tests/benchmarks/dispatch_bench.py $(ARGS)

bench-job: $(VENV)/.dev ## The job beside the article's way, and beside the bare limit
	@$(PY) tests/benchmarks/job_bench.py $(ARGS)

bench-standardize: $(VENV)/.dev ## The standardizing job over 1 GB of CSV, beside plain Spark and beside pyarrow
	@$(PY) tests/benchmarks/standardize_bench.py $(ARGS)

bench-scale: $(VENV)/.dev ## A day of 100,000 providers, 10,000 at once, 200 heavy ones, a million: about 5 minutes
	@$(PY) tests/benchmarks/scale_bench.py $(ARGS)

bench-light: $(VENV)/.dev ## 200 light runs in an account with ten functions, on the laptop cloud: about 5 minutes
	@$(PY) tests/benchmarks/light_bench.py $(ARGS)

bench-console: $(VENV)/.dev ## The console's overview with 10,000 providers, measured in Chromium: about a minute
	@$(PY) tests/benchmarks/console_bench.py $(ARGS)

pictures: $(VENV)/.dev ## Take the pictures of the console in docs/pictures/ anew: real runs of a laptop cloud
	@$(PY) tests/pictures.py

soak: $(VENV)/.dev ## Many more random histories and kills than `make test`: HISTORIES=n KILLS_ROUNDS=n
	@HISTORIES=$(or $(HISTORIES),20000) KILLS_ROUNDS=$(or $(KILLS_ROUNDS),5) \
	  $(PY) -m pytest -n $(TEST_WORKERS) --no-loadscope-reorder tests/faults tests/end_to_end/test_kills.py $(ARGS)

shuffle: $(VENV)/.dev ## Units and faults in 20 random orders, beside a busy loop on each core: ARGS="--rounds 3"
	@$(PY) -m tests.shuffle $(ARGS)

busy: $(VENV)/.dev ## make check beside four busy loops, as on a machine with other work: TARGET=test for all tests
	@$(PY) -m tests.busy $(MAKE) $(or $(TARGET),check)

mutants: $(VENV)/.dev ## Put bugs into the code, one at a time; print those that no test notices: ARGS="--seconds 600 --only ledger"
	@$(PY) -m tests.mutants $(ARGS)

cost: $(VENV)/.dev ## The yearly bill, the article's way and ours: PROVIDERS=n FREQUENCY=minutes ROWS=a-day PROFILE=dev|prod
	@PYTHONPATH=functions $(PY) -m tools.bill $(if $(PROVIDERS),--providers $(PROVIDERS)) \
	  $(if $(FREQUENCY),--frequency $(FREQUENCY)) $(if $(ROWS),--rows $(ROWS)) $(if $(PROFILE),--profile $(PROFILE)) $(ARGS)

security: $(VENV)/.dev $(CHECKOV_VENV)/.installed ## checkov, parliament (installs them the first time)
	@echo "checkov, as written (dev profile)"
	@$(OFFLINE) $(CHECKOV_VENV)/bin/checkov --file $(TEMPLATE) --config-file .checkov.yaml --skip-download
	@echo "checkov, expanded (prod profile)"
	@mkdir -p .aws-sam
	@$(PY) -m tools.expand $(TEMPLATE) Profile=prod ApiLogsRole=create >.aws-sam/prod.json
	@$(OFFLINE) $(CHECKOV_VENV)/bin/checkov --file .aws-sam/prod.json --config-file .checkov.yaml --skip-download
	@$(PY) -m tools.iam $(TEMPLATE) | $(CHECKOV_VENV)/bin/python tools/check_policies.py

sbom: $(CHECKOV_VENV)/.installed ## CycloneDX bills of materials of what is deployed and of what tests it, into .aws-sam/
	@mkdir -p .aws-sam
	@for lock in functions/requirements.txt glue/requirements.txt requirements/dev.txt; do \
	  name=$${lock%%/*}; $(CHECKOV_VENV)/bin/cyclonedx-py requirements --output-reproducible --of JSON \
	    -o .aws-sam/sbom-$${name/requirements/dev}.json $$lock; done
	@ls .aws-sam/sbom-*.json

# What is deployed has the versions that are tested, those of run.txt.
lock: $(VENV)/.run ## Resolve all *.in again into hash-locked *.txt: for Python 3.11 to 3.14, and for Lambda what is deployed
	@for name in uv build run dev sam checkov; do \
	  $(COMPILE) --universal --python-version 3.11 $(ARGS) requirements/$$name.in -o requirements/$$name.txt; done
	@for name in functions glue; do \
	  $(COMPILE) --python-version 3.13 --python-platform x86_64-manylinux_2_34 --constraints requirements/run.txt \
	    $(ARGS) $$name/requirements.in -o $$name/requirements.txt; done

release: ## Tag the version of pyproject.toml, if everything is committed and CHANGELOG.md describes it
	@"$(PYTHON)" -m tools.release

clean: ## Remove what was built, run and cached; keep the virtual environments
	rm -rf .aws-sam .local .pytest_cache .mypy_cache .ruff_cache .hypothesis spark-warehouse metastore_db derby.log
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

distclean: clean ## clean, and the virtual environments too
	rm -rf .venv .venv-* .uv

$(VENV)/.run: requirements/run.txt requirements/build.txt requirements/uv.txt tools/environment.py
	$(call install,$(VENV),$<)
	@touch $@

# It holds what run.txt lists, too: the same versions, which a test compares.
$(VENV)/.dev: requirements/dev.txt $(VENV)/.run
	$(call install,$(VENV),$<)
	@.uv/bin/uv pip install --quiet --python $(PY) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/spark-classes.jsa: $(VENV)/.dev
	@echo "Storing Spark's classes, so that it starts in half of the time: about a minute, only once"
	@$(PY) -m laptop_cloud.aws.spark_jvm

$(SAM_VENV)/.installed: requirements/sam.txt requirements/uv.txt
	$(call install,$(SAM_VENV),$<)
	@mkdir -p $(SAM_VENV)/state
	@echo '{"telemetryEnabled": false, "lastVersionCheck": 4102444800}' >$(SAM_VENV)/state/metadata.json
	@touch $@

$(CHECKOV_VENV)/.installed: requirements/checkov.txt requirements/uv.txt
	$(call install,$(CHECKOV_VENV),$<)
	@touch $@
