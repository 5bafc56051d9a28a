# Each target is one line of work done by the tools; `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MEMBERS := protos chassis gateway services/auth services/tasks services/scheduler services/notifications cli
EDITABLE := $(foreach member,$(MEMBERS),--editable ./$(member))

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

run: $(VENV)/.run ## install what is needed and start everything on this machine
	@exec $(BIN)/rota up

.PHONY: help run
