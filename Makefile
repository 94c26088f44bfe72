# Development tasks. Requires only Python 3.11 to 3.14. Each target installs what it needs the first time, and again
# when a lock file in requirements/ changes.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# Tests that generate histories from a seed iterate over sets; a fixed hash seed makes them reproducible.
export PYTHONHASHSEED := 0
# Keep compiled bytecode; otherwise each process compiles its imports again.
unexport PYTHONDONTWRITEBYTECODE

# PYTHON=/path/to/python selects an interpreter. Each Python version gets its own virtual environment.
VENV := .venv$(if $(PYTHON),-$(shell "$(PYTHON)" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null))
PYTHON ?= $(shell tools/find-python)
PY := $(VENV)/bin/python
SAM_VENV := .venv-sam
CHECKOV_VENV := .venv-checkov
MINISTACK_VENV := .venv-ministack

TEMPLATE := template.yaml
BUILT := .aws-sam/build/template.yaml

# Variables for the command line.
JOB ?=
CHANGE_LOG ?=
TABLE ?=
FILES ?=
MAPPINGS ?=
PROVIDERS ?=
ROWS ?=
FREQUENCY ?=
TICK ?=
PROFILE ?=
FUNCTION ?=
EVENT ?=
CONFIG_ENV ?= default
STACK ?=
ARGS ?=
HISTORIES ?=
TARGET ?=
KILLS_ROUNDS ?=
# One worker more than two cores, because tests wait for processes. Each takes up to 2.2 GB with its two Spark drivers.
# tests/conftest.py says which tests share a worker and in which order they run.
TEST_WORKERS ?= 3

# SAM CLI without telemetry and without version checks.
SAM := SAM_CLI_TELEMETRY=0 __SAM_CLI_APP_DIR=$(CURDIR)/$(SAM_VENV)/state PYTHON=$(CURDIR)/$(PY) $(CURDIR)/$(SAM_VENV)/bin/sam
# Checks never call AWS, so they run without the caller's credentials.
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

.PHONY: help setup run up check test lint format docs build validate deploy smoke invoke bench bench-dispatch bench-job bench-standardize bench-scale bench-light bench-console pictures soak histories shuffle busy mutants judges judge-deploy cost security sbom lock release clean distclean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  \033[1m%-14s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.dev $(SAM_VENV)/.installed $(CHECKOV_VENV)/.installed ## Install all dependencies for run, test, build and validate

# The shell takes the values from the environment, so that they may contain any character.
run: $(VENV)/.run ## Run the whole system once on this machine: JOB=standardize, CHANGE_LOG=dir, PROVIDERS=n, ROWS=n, FILES=dir MAPPINGS=dir, TABLE=yes
	@$(PY) -m demo run $(if $(JOB),--job="$$JOB") $(if $(FILES),--files="$$FILES") $(if $(MAPPINGS),--mappings="$$MAPPINGS") \
	  $(if $(CHANGE_LOG),--change-log="$$CHANGE_LOG") $(if $(PROVIDERS),--providers="$$PROVIDERS") $(if $(ROWS),--rows="$$ROWS") \
	  $(if $(filter-out no,$(TABLE)),--table) $(ARGS)

up: $(VENV)/.dev ## Start the system on this machine and keep it running, TABLE=yes adds a DynamoDB table; stop with Ctrl-C
	@exec $(PY) -m demo up $(if $(filter-out no,$(TABLE)),--table) $(ARGS)

check: lint ## Lint, type checks and quick tests, about 2 minutes; run before each commit
	@PROPERTY_EXAMPLES=20 $(PY) -m pytest -n 2 -q -m "not benchmark and not network and not judge and not spark and not slow" tests/unit tests/template tests/tools $(ARGS)

test: $(VENV)/spark-classes.jsa ## All tests, 15 to 20 minutes on two cores; ARGS="-k name" selects tests
	@$(PY) -m pytest -n $(TEST_WORKERS) --no-loadscope-reorder -m "not benchmark and not network and not judge" $(ARGS)

lint: $(VENV)/.dev ## Run ruff and mypy
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: $(VENV)/.dev ## Format the code with ruff
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

docs: $(VENV)/.dev ## Generate docs/reference/, docs/openapi.json and the generated parts of other pages from the code
	@PYTHONPATH=functions:glue $(PY) -m tools.reference

build: $(VENV)/.dev $(SAM_VENV)/.installed ## Build the deployment packages in .aws-sam/
	@$(OFFLINE) $(SAM) build --config-env $(CONFIG_ENV)

# cfn-lint with its own rules, which `sam validate --lint` uses too, and its rules for serverless applications.
validate: $(CHECKOV_VENV)/.installed build ## Lint template and state machine, build, and check the packages
	@$(CHECKOV_VENV)/bin/cfn-lint --append-rules cfn_lint_serverless.rules --non-zero-exit-code informational -- $(TEMPLATE)
	@echo "$(TEMPLATE): cfn-lint finds nothing"
	@$(PY) -m tools.definition $(TEMPLATE)
	@SAM_CLI_TELEMETRY=0 __SAM_CLI_APP_DIR=$(CURDIR)/$(SAM_VENV)/state \
	  $(PY) -m tools.check_package --sam $(SAM_VENV)/bin/sam --template $(TEMPLATE) --built $(BUILT)
	@$(PY) -m pytest -q -n0 -m network tests/tools

deploy: $(VENV)/.dev $(SAM_VENV)/.installed ## Build and deploy to AWS with your credentials: CONFIG_ENV=default|dev|prod
	@$(SAM) build --config-env $(CONFIG_ENV)
	@$(SAM) deploy --config-env $(CONFIG_ENV) $(ARGS)

smoke: $(VENV)/.dev ## Check a deployed stack from the tick to the messages, in about a minute: STACK=name, or the laptop cloud of `make up`
	@$(PY) -m tests.cloud $(if $(STACK),--stack "$(STACK)") $(ARGS)

# With a container runtime, in Lambda's image. Without one, in a local process that uses the laptop cloud of `make up`.
invoke: $(VENV)/.dev $(SAM_VENV)/.installed ## Invoke one function with one event: FUNCTION=DispatchFunction EVENT=events/dispatch/good.json
	@[ -n "$(FUNCTION)" ] && [ -n "$(EVENT)" ] \
	  || { echo "Specify the function and the event: make invoke FUNCTION=DispatchFunction EVENT=events/dispatch/good.json" >&2; exit 2; }
	@$(MAKE) build >&2
	@if docker info >/dev/null 2>&1 || finch info >/dev/null 2>&1; then \
	  $(SAM) local invoke "$(FUNCTION)" --event "$(EVENT)" $(ARGS); \
	else \
	  $(PY) -m laptop_cloud invoke "$(FUNCTION)" --event "$(EVENT)" --stack-name glue-fanout-dev $(ARGS); \
	fi

bench: bench-dispatch bench-job bench-standardize bench-scale bench-light bench-console ## Run all benchmarks; results go to docs/bench/
	@$(PY) -m pytest tests/benchmarks -m benchmark -s

bench-dispatch: $(VENV)/.dev ## Benchmark the dispatcher against the article's serial loop
	@$(PY) tests/benchmarks/dispatch_bench.py $(ARGS)

bench-job: $(VENV)/.dev ## Benchmark the job against the article's job and against parsing alone
	@$(PY) tests/benchmarks/job_bench.py $(ARGS)

bench-standardize: $(VENV)/.dev ## Benchmark standardize with CSV, JSON and XML against plain Spark, pyarrow and bare parsers
	@$(PY) tests/benchmarks/standardize_bench.py $(ARGS)

bench-scale: $(VENV)/.dev ## Benchmark the dispatcher with up to a million providers, about 5 minutes
	@$(PY) tests/benchmarks/scale_bench.py $(ARGS)

bench-light: $(VENV)/.dev ## Benchmark 200 Lambda runs with ten concurrent functions, about 5 minutes
	@$(PY) tests/benchmarks/light_bench.py $(ARGS)

bench-console: $(VENV)/.dev ## Benchmark the console with 10,000 providers in Chromium, about 6 minutes
	@$(PY) tests/benchmarks/console_bench.py $(ARGS)

pictures: $(VENV)/.dev ## Take the console screenshots in docs/pictures/
	@$(PY) tests/pictures.py

soak: $(VENV)/.dev ## Keep the laptop cloud busy with 500 providers for 30 ticks, about 35 minutes: ARGS="--ticks 60"
	@$(PY) -m tests.soak $(ARGS)

histories: $(VENV)/.dev ## Run many more random histories and kills than `make test`: HISTORIES=n KILLS_ROUNDS=n
	@HISTORIES=$(or $(HISTORIES),20000) KILLS_ROUNDS=$(or $(KILLS_ROUNDS),5) \
	  $(PY) -m pytest -n $(TEST_WORKERS) --no-loadscope-reorder tests/faults tests/end_to_end/test_kills.py $(ARGS)

shuffle: $(VENV)/.dev ## Run unit and fault tests in 20 random orders under CPU load: ARGS="--rounds 3"
	@$(PY) -m tests.shuffle $(ARGS)

busy: $(VENV)/.dev ## Run make check under CPU load: TARGET=test for all tests
	@$(PY) -m tests.busy $(MAKE) $(or $(TARGET),check)

mutants: $(VENV)/.dev ## Insert bugs one at a time and list those that no test detects: ARGS="--seconds 600 --only ledger"
	@$(PY) -m tests.mutants $(ARGS)

judges: $(VENV)/.dev .judges/.installed ## Compare with independent implementations from npm: an interpreter of state machines, a DynamoDB
	@echo "judges: aws-local-stepfunctions (state machine), dynalite (ledger, pending counts, registry), botocore's models (requests, error names)"
	@$(PY) -m pytest -n 2 -q -k "judges or dynalite" tests/judges tests/integration/functions $(ARGS)

judge-deploy: $(MINISTACK_VENV)/.installed build ## Deploy with the SAM CLI to MiniStack, an independent AWS: smoke test, update, rollback, delete
	@SAM_CLI_TELEMETRY=0 __SAM_CLI_APP_DIR=$(CURDIR)/$(SAM_VENV)/state \
	  $(PY) -m tests.judges.deployment --sam $(SAM_VENV)/bin/sam --python $(MINISTACK_VENV)/bin/python $(ARGS)

cost: $(VENV)/.dev ## Estimate the yearly cost: PROVIDERS=n FREQUENCY=minutes ROWS=per-day TICK=minutes PROFILE=dev|prod
	@PYTHONPATH=functions $(PY) -m tools.bill $(if $(PROVIDERS),--providers $(PROVIDERS)) \
	  $(if $(FREQUENCY),--frequency $(FREQUENCY)) $(if $(ROWS),--rows $(ROWS)) $(if $(TICK),--tick $(TICK)) $(if $(PROFILE),--profile $(PROFILE)) $(ARGS)

security: $(VENV)/.dev $(CHECKOV_VENV)/.installed ## Run checkov and parliament (installed on first use)
	@echo "checkov, as written (dev profile)"
	@$(OFFLINE) $(CHECKOV_VENV)/bin/checkov --file $(TEMPLATE) --config-file .checkov.yaml --skip-download
	@echo "checkov, expanded (prod profile)"
	@mkdir -p .aws-sam
	@$(PY) -m tools.expand $(TEMPLATE) Profile=prod ApiLogsRole=create >.aws-sam/prod.json
	@$(OFFLINE) $(CHECKOV_VENV)/bin/checkov --file .aws-sam/prod.json --config-file .checkov.yaml --skip-download
	@$(PY) -m tools.iam $(TEMPLATE) | $(CHECKOV_VENV)/bin/python tools/check_policies.py

sbom: $(CHECKOV_VENV)/.installed ## Write CycloneDX SBOMs to .aws-sam/
	@mkdir -p .aws-sam
	@for lock in functions/requirements.txt glue/requirements.txt requirements/dev.txt; do \
	  name=$${lock%%/*}; $(CHECKOV_VENV)/bin/cyclonedx-py requirements --output-reproducible --of JSON \
	    -o .aws-sam/sbom-$${name/requirements/dev}.json $$lock; done
	@ls .aws-sam/sbom-*.json

# The deployed packages use the tested versions, those of run.txt.
lock: $(VENV)/.run ## Update all lock files (*.in to *.txt) for Python 3.11 to 3.14 and for Lambda
	@for name in uv build run dev sam checkov ministack; do \
	  $(COMPILE) --universal --python-version 3.11 $(ARGS) requirements/$$name.in -o requirements/$$name.txt; done
	@for name in functions glue; do \
	  $(COMPILE) --python-version 3.13 --python-platform x86_64-manylinux_2_34 --constraints requirements/run.txt \
	    $(ARGS) $$name/requirements.in -o $$name/requirements.txt; done

release: ## Tag the version of pyproject.toml, if everything is committed and CHANGELOG.md describes it
	@"$(PYTHON)" -m tools.release

clean: ## Remove build output, local data and caches; keep virtual environments
	rm -rf .aws-sam .local .pytest_cache .mypy_cache .ruff_cache .hypothesis spark-warehouse metastore_db derby.log
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

distclean: clean ## Run clean and remove the virtual environments
	rm -rf .venv .venv-* .uv .judges

$(VENV)/.run: requirements/run.txt requirements/build.txt requirements/uv.txt tools/environment.py
	$(call install,$(VENV),$<)
	@touch $@

# Also contains the packages of run.txt in the same versions; a test compares them.
$(VENV)/.dev: requirements/dev.txt $(VENV)/.run
	$(call install,$(VENV),$<)
	@.uv/bin/uv pip install --quiet --python $(PY) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/spark-classes.jsa: $(VENV)/.dev
	@echo "Creating the Spark class archive (about a minute, once); it halves Spark's startup time"
	@$(PY) -m laptop_cloud.aws.spark_jvm

.judges/.installed: tests/judges/package-lock.json
	@command -v npm >/dev/null || { echo "make judges needs Node.js 20 or newer with npm (apt install nodejs npm, brew install node)" >&2; exit 1; }
	@mkdir -p .judges && cp tests/judges/package.json tests/judges/package-lock.json .judges/
	@npm ci --prefix .judges --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

$(SAM_VENV)/.installed: requirements/sam.txt requirements/uv.txt
	$(call install,$(SAM_VENV),$<)
	@mkdir -p $(SAM_VENV)/state
	@echo '{"telemetryEnabled": false, "lastVersionCheck": 4102444800}' >$(SAM_VENV)/state/metadata.json
	@touch $@

$(MINISTACK_VENV)/.installed: requirements/ministack.txt requirements/uv.txt
	$(call install,$(MINISTACK_VENV),$<)
	@touch $@

$(CHECKOV_VENV)/.installed: requirements/checkov.txt requirements/uv.txt
	$(call install,$(CHECKOV_VENV),$<)
	@touch $@
