# Each target makes what it needs; all of them can be run again at any time.
.DEFAULT_GOAL := help
.PHONY: help setup run dev staging test test-stacks verify-dev verify-staging kills bench lint format

PYTHON := .venv/bin/python
STAMP := .venv/.synced
# Who acts in staging, where a terminal alone has no rights.
BY ?= admin
STAGING_PROJECT ?= flow-control-staging

help:  ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP)  ## make .venv with the locked packages

$(STAMP): requirements-dev.lock .make/setup.sh
	@sh .make/setup.sh

run: setup  ## start the portal on http://localhost:8080 (APP_PORT=… for another port); Ctrl-C stops it
	@exec $(PYTHON) -m flowcontrol.stack

dev: setup  ## the whole system in containers, what you change is live (manage.py environment down dev takes it down)
	@$(PYTHON) manage.py migrate --verbosity 0
	@$(PYTHON) manage.py environment up dev $(ARGS)

staging: setup  ## build what runs on a server, bring it up and verify it (manage.py environment down staging takes it down)
	@$(PYTHON) manage.py migrate --verbosity 0
	@$(PYTHON) manage.py environment up staging $(ARGS)

test: setup  ## run the tests (ARGS=… goes to pytest)
	@sh .make/test.sh $(ARGS)

test-stacks: setup  ## what takes minutes on Docker: `make dev` and `make staging` themselves, stacks killed while they change
	@$(PYTHON) -m pytest -m stacks tests/stack/test_own_stacks.py tests/deployments tests/environments $(ARGS)

verify-dev: setup  ## run the layered tests of dev; best with `make run` beside it
	@$(PYTHON) manage.py migrate --verbosity 0
	@$(PYTHON) manage.py testrun start dev $(ARGS)

verify-staging:  ## run the layered tests of staging, in the controller of the stack that `make staging` started
	@docker compose --project-name $(STAGING_PROJECT) exec -T controller python manage.py testrun start staging --as $(BY) $(ARGS)

kills: setup  ## the long form of the kill tests: 20 deaths of each part (KILLS=… for more)
	@KILLS=$${KILLS:-20} $(PYTHON) -m pytest tests/stack/test_kills.py tests/bridge/test_kills.py \
		tests/environments/test_stack_kills.py tests/deployments/test_deploy_kills.py -m "stacks or not stacks" -s $(ARGS)

bench: setup  ## the figures of speed, as ratios against named peers; 1 when one is above its limit
	@bad=0; for each in "flow --assert" "compile data/bench/tpch-sf1-parquet" runs "bridge --assert" "cases --assert" \
		"testrun_page --assert" "deploy --assert"; do $(PYTHON) -m tests.bench.bench_$$each || bad=1; done; exit $$bad

lint: setup  ## check style, types, floors and that migrations are complete
	@sh .make/lint.sh

format: setup  ## put the Python files into shape
	@.venv/bin/ruff check --fix . && .venv/bin/ruff format .
