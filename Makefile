# Each target is one line of work done by the tools; `make help` lists them.
PYTHON ?= python3
VENV := .venv
PEERS := benchmarks/queues/peers
BIN := $(VENV)/bin
MEMBERS := protos chassis gateway services/auth services/tasks services/scheduler services/notifications cli clients/python
EDITABLE := $(foreach member,$(MEMBERS),--editable ./$(member))
INSTALLED := $(MEMBERS:%=%/pyproject.toml) protos/hatch_build.py $(wildcard protos/rota/*/v1/*.proto)
SOURCES := chassis/rota_chassis gateway/rota_gateway services/auth/rota_auth services/tasks/rota_tasks \
	services/scheduler/rota_scheduler services/notifications/rota_notifications cli/rota_cli clients/python/rota_worker \
	deploy/check.py protos/lint.py
UV := $(shell command -v uv 2>/dev/null || echo $(BIN)/uv)
INSTALL = $(UV) pip install --python $(BIN)/python --compile-bytecode

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

run: $(VENV)/.run ## install what is needed and start everything on this machine
	@exec $(BIN)/rota up

test: $(VENV)/.dev ## run every test, on real servers of its own
	@$(BIN)/pytest --numprocesses=2 --ignore=tests/e2e
	@$(BIN)/pytest --numprocesses=2 --dist=worksteal tests/e2e

coverage: $(VENV)/.dev ## say which lines no unit or integration test runs
	@$(BIN)/pytest --numprocesses=2 --cov --cov-report=term:skip-covered --ignore=tests/e2e

test-postgres: $(VENV)/.dev ## run the integration tests on the PostgreSQL server at POSTGRES=postgresql://…, as a superuser
	@ROTA_TEST_POSTGRES_URL='$(POSTGRES)' $(BIN)/pytest --numprocesses=2 --dist=loadfile \
		--ignore=chassis/tests/integration/embedded \
		chassis/tests/integration $(wildcard services/*/tests/integration)

check: lint proto-lint deploy-check test chaos-check ## everything CI checks

lint: $(VENV)/.dev ## style, types, and who may import whom
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary $(SOURCES)
	@$(BIN)/lint-imports

proto-lint: $(VENV)/.dev ## the contract: style, and nothing that breaks a client
	@$(BIN)/python protos/lint.py

deploy-check: $(VENV)/.dev ## image, compose file and manifests
	@$(BIN)/python deploy/check.py

fmt: $(VENV)/.dev ## format the code
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .

bench: $(VENV)/.dev ## measure beside what one would use instead (needs wrk)
	@$(BIN)/python benchmarks/codec.py
	@$(BIN)/python benchmarks/beside_monolith.py

bench-scheduler: $(VENV)/.dev $(VENV)-peers/.installed $(PEERS)/node_modules/.package-lock.json ## measure the scheduler beside other queues, and how late schedules start
	@$(BIN)/python benchmarks/scheduler.py

bench-tasks: $(VENV)/.dev ## measure what reading and creating tasks cost, and a workspace of a million (needs wrk)
	@$(BIN)/python benchmarks/beside_monolith.py
	@$(BIN)/python benchmarks/tasks.py

chaos-scheduler: $(VENV)/.dev ## kill, freeze and cut off three schedulers, and see that nothing is lost or doubled
	@$(BIN)/python tests/chaos/scheduler.py

# A kill between an action and the commit of its end, a freeze beyond the lease, and a restart of PostgreSQL.
chaos-check: $(VENV)/.dev ## the same for a minute: a few schedules, three faults
	@$(BIN)/python tests/chaos/scheduler.py --schedules 200 --seed 477 --faults 3

lock: $(VENV)/.run ## write the locks anew (UPGRADE=--upgrade takes the newest versions)
	@UV=$(UV) UPGRADE=$(UPGRADE) sh requirements/lock.sh

secrets: ## make the secrets that docker compose and kustomize read
	@sh deploy/make-secrets.sh

# What running needs, and the members themselves: they are generated and linked anew when the contract changes.
$(VENV)/.run: requirements/run.txt $(INSTALLED) | $(UV)
	@echo 'Installing what Rota needs (once, and when it changes) …'
	@$(INSTALL) --require-hashes --requirements requirements/run.txt
	@$(INSTALL) --no-deps --no-build-isolation --reinstall $(EDITABLE)
	@touch $@

# What tests and checks need besides.
$(VENV)/.dev: requirements/dev.txt $(VENV)/.run
	@echo 'Installing what the checks need (once, and when it changes) …'
	@$(INSTALL) --require-hashes --requirements requirements/dev.txt
	@touch $@

# The queues that the scheduler is measured beside.
$(VENV)-peers/.installed: requirements/peers.txt | $(UV)
	@$(UV) venv --quiet --clear --python $(PYTHON) $(VENV)-peers
	@$(UV) pip install --quiet --python $(VENV)-peers/bin/python --require-hashes --requirements $<
	@touch $@

# Those for Node, where Node is.
$(PEERS)/node_modules/.package-lock.json: $(PEERS)/package-lock.json
	@if command -v npm >/dev/null; then npm ci --silent --ignore-scripts --prefix $(PEERS); else echo 'No npm here: the queues for Node are left out.'; fi

$(UV): | $(VENV)/.python

$(BIN)/uv:
	@echo 'Installing uv …'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/build.txt

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Rota needs Python 3.11 or newer; name one with `make PYTHON=python3.12 …`.' >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { command -v uv >/dev/null && uv venv --clear --python $(PYTHON) $(VENV); } || \
		{ rm -rf $(VENV); echo 'Python cannot make a virtual environment; on Debian `apt install python3-venv` helps.' >&2; exit 1; }
	@touch $@

.PHONY: help run test coverage test-postgres check lint fmt proto-lint deploy-check bench bench-scheduler bench-tasks chaos-scheduler chaos-check lock secrets
