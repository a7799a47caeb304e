# Every target works on a fresh clone: python3 (3.11 or newer), git and make are enough.
PYTHON ?= python3
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export DVC_NO_ANALYTICS := 1
export GX_ANALYTICS_ENABLED := False
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := 1
INSTALLED := $(VENV)/.installed
# A worker a core, four at most (a gigabyte each); a file stays with one, and so do its fixtures.
PYTEST = OMP_NUM_THREADS=1 pytest -q --numprocesses logical --maxprocesses 4 --dist loadfile
FULL = $(dir $(shell grep -l '^tier: full' leaderboard/entries/*/entry.yaml))

.PHONY: leaderboard real full bench calibration check test mlflow-ui lock clean
.DEFAULT_GOAL := leaderboard

leaderboard: $(INSTALLED) ## Simulated boards recomputed, real boards from committed results, site built.
	dvc repro
	@echo "The leaderboard is at $(CURDIR)/public/index.html"

real: $(INSTALLED) ## Fetch, predict and score the public_small suite (downloads about 27 MB).
	dvc repro data/real/dvc.yaml

full: $(INSTALLED) ## Entries of the full tier on all suites, simulated ones too (hours; a GPU helps).
	$(VENV)/bin/python -m pip install --quiet --editable '.[scvi]'
	dvc repro $(FULL:%=%dvc.yaml)

bench: $(INSTALLED) ## Scores beside cell-eval2's and scib-metrics', inference, the audit of a million cells, GEARS.
	python -m tests.bench
	python -m tests.bench_integration
	python -m tests.bench_inference
	python -m tests.bench_audit
	python -m tests.bench_gears

calibration: $(INSTALLED) ## How often intervals, rank sets and verdicts are right on simulated boards (minutes).
	python -m tests.calibration

check: $(INSTALLED) ## Style, types, imports, fast tests.
	ruff format --check leaderboard stages tests
	ruff check leaderboard stages tests
	mypy
	lint-imports
	heldout sync --check
	$(PYTEST) -m "not slow"

test: $(INSTALLED) ## All tests, those that run whole pipelines too.
	$(PYTEST)

mlflow-ui: $(INSTALLED) ## Browse every run.
	mlflow ui --backend-store-uri $${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db}

lock: ## Write requirements.lock anew from pyproject.toml: exact versions, no hashes, any torch build.
	rm -rf .cache/lock && $(PYTHON) -m venv .cache/lock
	.cache/lock/bin/python -m pip install --quiet --upgrade pip setuptools
	.cache/lock/bin/python -m pip install --quiet torch==2.13.0
	.cache/lock/bin/python -m pip install --quiet --editable '.[dev]'
	.cache/lock/bin/python -m pip freeze --all --exclude-editable --exclude pip | sed 's/+cpu$$//' > requirements.lock.new
	mv requirements.lock.new requirements.lock && rm -rf .cache/lock

clean: ## Remove what the pipeline wrote; the DVC cache stays.
	rm -rf public data/raw data/clean data/validation data/splits data/cases data/truth data/audit data/duplicates \
	  data/predictions data/runs data/scores data/standings data/work

$(INSTALLED): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --requirement requirements.lock
	$(VENV)/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
