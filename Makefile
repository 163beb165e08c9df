# One entry point for everything; `make` alone prints the targets.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.collection-health-installed
JSONNET := $(shell find mixin.libsonnet config.libsonnet rules dashboards alertmanager \
             -name '*.libsonnet' -o -name '*.jsonnet' 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: test-api test-browser test-faults backtest test-e2e-long replay-day help install tools fmt generate lint drift check-generated test test-compat test-integrations demo bench bench-rules soak dist clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP) ## the virtual environment with the package and everything a developer needs

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed, $$($(PYTHON) -V) was found; set PYTHON=..." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) \
	  || { echo "Python's venv module is needed (Debian: apt install python3-venv)" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

tools: $(STAMP) ## find or fetch Prometheus, Alertmanager and their command line tools
	@$(BIN)/python tests/tools.py ensure

fmt: $(STAMP) ## format Python and jsonnet
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only .
	@$(BIN)/python tests/tools.py run jsonnetfmt --in-place $(JSONNET)

generate: $(STAMP) ## evaluate the jsonnet into {rules,dashboards,alertmanager}/generated
	$(BIN)/collection-health generate

lint: $(STAMP) check-generated ## ruff, mypy, jsonnet formatting, promtool and amtool checks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy exporter tests/support tests/tools.py tests/conftest.py
	@jsonnetfmt=$$($(BIN)/python tests/tools.py which jsonnetfmt) && status=0; \
	for file in $(JSONNET); do $$jsonnetfmt --test $$file \
	  || { echo "$$file: not formatted, run make fmt"; status=1; }; done; exit $$status

check-generated: $(STAMP)
	@$(BIN)/python tests/tools.py run promtool check rules --lint=all --lint-fatal rules/generated/*.yml
	@$(BIN)/python tests/tools.py run amtool check-config alertmanager/generated/alertmanager.yml

drift: $(STAMP) ## fail when the committed generated files differ from their sources
	$(BIN)/collection-health generate --check

test: $(STAMP) tools lint drift ## everything that must pass before a commit lands
	$(BIN)/python -m pytest

SUITES := bookworm trixie sid
test-compat: $(STAMP) ## rules, dashboards and alerts on every release from Prometheus 2.42 to 3.x
	@for suite in $(SUITES); do $(BIN)/python tests/tools.py fetch --suite $$suite \
	  prometheus promtool alertmanager amtool vmalert || exit 1; done
	$(BIN)/python -m pytest -m compat
	@for suite in $(SUITES); do echo "== $$suite"; TOOLS_SUITE=$$suite \
	  $(BIN)/python -m pytest tests/rules tests/alertmanager tests/dashboards tests/e2e || exit 1; done

test-e2e-long: $(STAMP) tools ## slow scenarios from outcome to message on the real programs
	$(BIN)/python -m pytest -m soak tests/alertmanager

test-faults: $(STAMP) tools ## break 200 real processes: repaired and verified, or escalated (20 minutes)
	$(BIN)/python -m pytest -m soak tests/recovery
	$(BIN)/python -m tests.recovery.faults

replay-day: $(STAMP) tools ## messages a channel gets in a day of a fleet, beside alerts and incidents
	$(BIN)/python -m tests.alertmanager.day

test-api: $(STAMP) ## every boundary of every parameter of the API, by schemathesis (minutes)
	$(BIN)/python -m pytest -m soak tests/api

test-browser: $(STAMP) ## the status page in real Chromium
	@$(BIN)/python tests/tools.py ensure chromium
	$(BIN)/python -m pytest -m browser tests/api

test-integrations: $(STAMP) ## real Airflow, dbt and Dagster, each installed below .tools/integrations
	$(BIN)/python -m pytest -m integrations tests/receivers/integrations

demo: $(STAMP) tools ## a small fleet breaks and recovers before your eyes (DEMO='--seconds 90')
	@PYTHONPATH=. $(BIN)/python exporter/examples/demo $(DEMO) \
	  --prometheus "$$($(BIN)/python tests/tools.py which prometheus)" \
	  --alertmanager "$$($(BIN)/python tests/tools.py which alertmanager)"

bench: $(STAMP) tools ## speed and size beside peers measured in the same run (tests/bench/README.md)
	@for part in ingest scrape restart client capacity dashboards; do echo "== $$part"; \
	  $(BIN)/python -m tests.bench.$$part || exit 1; done

COLLECTORS ?= 1000 5000
bench-rules: $(STAMP) ## CPU of the rules beside a Sloth-style set's (COLLECTORS='200' for less; half an hour a size)
	@$(BIN)/python tests/tools.py ensure prometheus
	$(BIN)/python -m tests.bench.rules --collectors $(COLLECTORS)

soak: $(STAMP) ## an hour of load, restarts, slow clients and garbage (SOAK_SECONDS=300 for less)
	$(BIN)/python -m pytest -m soak -s tests/exporter

SEEDS ?= evaluation
backtest: $(STAMP) ## the rules and three baselines on simulated fleets (more than an hour)
	@$(BIN)/python tests/tools.py ensure prometheus
	$(BIN)/python -m tests.backtest.evaluate --seeds $(SEEDS) --dial \
	  $(if $(filter evaluation,$(SEEDS)),--write)

dist: $(STAMP) ## wheel and source distribution under dist/
	$(BIN)/python -m hatchling build -d dist

clean: ## remove everything that make created, the environment and tools included
	rm -rf $(VENV) .tools .demo .backtest dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis
