# `make` lists the targets. Everything runs in .venv, which is made on first use.
PYTHON ?= python3
VENV := .venv
INSTALLED := $(VENV)/.installed
TOOLS := $(VENV)/.installed-dev
DOCS := $(VENV)/.installed-docs
PIP_INSTALL := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup repro report test test-slow check format lock results bench checkpoints clean-checkpoints \
  doctor clean-venv experiments verdict docs

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(INSTALLED) ## make .venv and install what the pipeline needs, requirements.txt

$(INSTALLED): requirements.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if (3, 11) <= v < (3, 14) else \
	  "Python 3.11 to 3.13 is needed, %s is %d.%d. Run: make PYTHON=python3.12" % (sys.executable, v[0], v[1]))'
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) requirements.txt
	$(VENV)/bin/python -m commands.plots_template
	@touch $@

$(TOOLS): requirements-dev.txt $(INSTALLED)
	$(PIP_INSTALL) requirements-dev.txt
	@touch $@

$(DOCS): requirements-docs.txt $(INSTALLED)
	$(PIP_INSTALL) requirements-docs.txt
	@touch $@

report: $(INSTALLED) ## write report.html: the last run and the studies on one page
	@python -m experiments.report

repro: $(INSTALLED) ## run the pipeline, then print the results
	@python -m commands.check
	@RESULT_TABLE=later python -m commands.repro --keep-going; status=$$?; python -m commands.results && exit $$status

results: $(INSTALLED) ## print the result table and where the plots are
	@python -m commands.results

experiments: $(INSTALLED) ## show experiments, queued and failed ones too: accuracies and what each changed
	@python -m commands.experiments

verdict: $(INSTALLED) ## say whether self-training pays on the images of params.yaml: three seeds, one sentence
	@python -m experiments.verdict

test: $(TOOLS) ## run the tests; this, check and format install requirements-dev.txt first
	@python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow"

test-slow: $(TOOLS) ## run the slow tests, an hour (other backends: see CONTRIBUTING.md)
	@python -m pytest -m slow

docs: $(DOCS) ## build the documentation, site/index.html; a broken link is an error
	@python -m sphinx --quiet --fail-on-warning --keep-going --builder html docs site && echo site/index.html

bench: $(INSTALLED) ## measure against rivals, write docs/benchmarks.md (needs requirements-bench.txt)
	@python -m benchmarks

check: $(TOOLS) ## check format, lint, types and deps of dvc.yaml, then run the fast tests
	@ruff format --check .
	@ruff check .
	@mypy
	@python -m commands.deps
	@$(MAKE) --no-print-directory test

format: $(TOOLS) ## mend format and what ruff can
	@ruff format .
	@ruff check --fix .

lock: ## write the requirements*.txt anew from requirements/*.in (needs uv); UPGRADE=--upgrade takes newer versions
	@for name in "" -gpu -jax -torch -ray -bench -docs -dev; do \
	  uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
	    --no-annotate --no-header $(UPGRADE) \
	    requirements/requirements$$name.in -o requirements$$name.txt || exit 1; \
	done

doctor: $(INSTALLED) ## find what keeps DVC or the stages from working, mend what can be mended
	@python -m commands.doctor

checkpoints: $(INSTALLED) ## list what killed or stopped stages would go on from
	@python -m commands.checkpoints

clean-checkpoints: $(INSTALLED) ## remove it
	@python -m commands.checkpoints --remove

clean-venv: ## remove .venv
	rm -rf $(VENV)
