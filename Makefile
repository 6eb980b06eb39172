# Every habit is one word. `make` alone lists them.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
.DEFAULT_GOAL := help
.PHONY: help setup demo up down test faults bench fuzz lint format build invoke validate lock openapi vendor page screenshots clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

$(VENV)/.ready: requirements/dev.txt infra/local/setup.sh
	@PYTHON=$(PYTHON) bash infra/local/setup.sh $(VENV) requirements/dev.txt

.localstack-venv/.ready: requirements/localstack.txt infra/local/setup.sh | $(VENV)/.ready
	@PYTHON=$(PYTHON) bash infra/local/setup.sh .localstack-venv requirements/localstack.txt

.bench-venv/.ready: requirements/bench.txt infra/local/setup.sh
	@PYTHON=$(PYTHON) bash infra/local/setup.sh .bench-venv requirements/bench.txt

.sam-venv/.ready: requirements/sam.txt infra/local/setup.sh | $(VENV)/.ready
	@PYTHON=$(PYTHON) bash infra/local/setup.sh .sam-venv requirements/sam.txt

.checkov-venv/.ready: requirements/checkov.txt infra/local/setup.sh | $(VENV)/.ready
	@PYTHON=$(PYTHON) bash infra/local/setup.sh .checkov-venv requirements/checkov.txt

setup: $(VENV)/.ready .localstack-venv/.ready ## install everything from the hashed locks into .venv and .localstack-venv

demo: setup ## the main job: upload, process and show the sample recordings (FILE=path for your own)
	@$(BIN)/python -m infra.local.demo $(if $(FILE),"$$FILE")

up: setup ## keep the local stack running and print its addresses and a token
	@$(BIN)/python -m infra.local.up

down: $(VENV)/.ready ## end the stack that `make up` keeps running, also in the background
	@$(BIN)/python -m infra.local.down

test: setup .sam-venv/.ready lint ## linters, then every test
	@$(BIN)/python -m pytest -n 2 --dist loadfile $(TESTS)

faults: setup ## every fault of the table at length, then a soak of random ones (MINUTES=30, SEED=…)
	@FAULTS_LONG=1 $(BIN)/python -m pytest tests/faults
	@PYTHONPATH=layers/core/python $(BIN)/python -m tests.faults.soak --minutes $(or $(MINUTES),30) $(if $(SEED),--seed $(SEED))

bench: .bench-venv/.ready ## speed and memory beside other programs (NAME=csv for one)
	@PYTHONPATH=layers/core/python .bench-venv/bin/python -m tests.benchmarks $(NAME)

fuzz: setup ## new examples for the property tests, damaged recordings, made-up calls against the API (SECONDS=60 for each)
	@$(BIN)/python -m pytest -n 2 --hypothesis-profile=default -m hypothesis tests/unit
	@PYTHONPATH=layers/core/python $(BIN)/python -m tests.fuzz $(if $(filter command line,$(origin SECONDS)),$(SECONDS))
	@PYTHONPATH=layers/core/python $(BIN)/python -m tests.fuzz_api $(if $(filter command line,$(origin SECONDS)),--seconds $(SECONDS))

openapi: $(VENV)/.ready ## write infra/openapi.json and the page of /docs anew from routes and models
	@PYTHONPATH=layers/core/python $(BIN)/python -m infra.description

vendor: $(VENV)/.ready ## write the page's libraries anew from npm, as pinned (NAME=uplot VERSION=… pins another version)
	@$(BIN)/python -m infra.web.vendored $(if $(filter command line,$(origin NAME)),$(NAME) $(VERSION))

screenshots: setup ## take the README's pictures of the page anew (needs Chromium)
	@PYTHONPATH=layers/core/python $(BIN)/python -m tests.browser.screenshots

page: $(VENV)/.ready ## put the page into a deployed stack: STACK=telemetry-prod
	@$(BIN)/python -m infra.web.publish $(STACK)

lint: $(VENV)/.ready ## ruff and mypy
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

format: $(VENV)/.ready ## let ruff order the code
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

# What `sam build` builds for; the parameter of the same name in template.yaml must agree.
ARCHITECTURE ?= arm64

build: $(VENV)/.ready ## build layers and functions for both architectures into .build/ (wheels only, no Docker)
	@$(BIN)/python -m infra.build

build-%: # SAM calls this for each function and layer of template.yaml
	@test -f $(VENV)/.ready || { echo "run 'make setup' first" >&2; exit 1; }
	@$(BIN)/python -m infra.build --architecture $(ARCHITECTURE) --part $* --into "$(ARTIFACTS_DIR)"

invoke: $(VENV)/.ready .sam-venv/.ready ## one event through a built function: FUNCTION=worker EVENT=fixtures/events/….json
	@$(BIN)/python -m infra.runtime $(FUNCTION) $(EVENT)

validate: $(VENV)/.ready .sam-venv/.ready .checkov-venv/.ready ## sam validate, cfn-lint and checkov over every template
	@SAM=.sam-venv/bin CHECKOV=.checkov-venv/bin bash infra/validate.sh

COMPILE := PATH="$(CURDIR)/$(BIN):$$PATH" uv pip compile --universal --generate-hashes --python-version 3.11 --no-header --no-annotate --quiet

lock: $(VENV)/.ready ## compile the locked requirements anew from pyproject.toml
	$(COMPILE) pyproject.toml -o requirements/base.txt
	$(COMPILE) -c requirements/base.txt --extra arrow pyproject.toml -o requirements/arrow.txt
	$(COMPILE) -c requirements/base.txt --extra arrow --extra migrate --extra dev pyproject.toml -o requirements/dev.txt
	$(COMPILE) -c requirements/dev.txt --extra arrow --extra migrate --extra dev --extra bench pyproject.toml -o requirements/bench.txt
	$(COMPILE) -c requirements/base.txt --extra migrate pyproject.toml -o requirements/migrate.txt
	$(COMPILE) --group sam -o requirements/sam.txt
	$(COMPILE) --group checkov -o requirements/checkov.txt
	$(COMPILE) --exclude-newer 2025-10-15 --group localstack -o requirements/localstack.txt

clean: ## remove what `setup` and the local stack made
	@test ! -f .stack/postgres/place || rm -rf "$$(cat .stack/postgres/place)"
	rm -rf $(VENV) .localstack-venv .bench-venv .sam-venv .checkov-venv .aws-sam .stack .build .mypy_cache .ruff_cache .pytest_cache .hypothesis .fuzz .screenshots
