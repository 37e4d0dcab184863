# Everything a developer or a build machine runs. `make help` lists it.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

DATE ?= 2026-06-01
WORK_DIR ?= var
CONFIG ?=
ONLY ?=
ACCELERATOR_SLOTS ?= 1

# Python 3.11, by whatever name it has here.
PYTHON ?= $(shell for p in python3 python3.11 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && echo "$$p" && break; done)

VENV := .venv
VENV_DOCS := .venv-docs
VENV_AIRFLOW := .venv-airflow
# A stamp carries the checksum of what it installed: the same files never install twice, a changed file installs again.
checksum = $(shell cat $(1) | cksum | cut -d' ' -f1)
LOCKS := requirements/product.txt requirements/recbole.txt pyproject.toml
PRODUCT := $(VENV)/.product-$(call checksum,$(LOCKS))
DEV := $(VENV)/.dev-$(call checksum,$(LOCKS) requirements/dev.txt)
# Beside the test tools, not among them: the emulated S3 pins an older python-dateutil than the product's list.
STORE_DIR := build/store
STORE := $(STORE_DIR)/.store-$(call checksum,requirements/store.txt)
# Also in a folder of its own: a process can load one version of DuckDB only.
OLD_DUCKDB_DIR := build/duckdb-1.4
OLD_DUCKDB := $(OLD_DUCKDB_DIR)/.duckdb-$(call checksum,requirements/duckdb-1.4.txt)
# The extra `c2pa` with what it imports, apart from the product's own packages.
C2PA_DIR := build/c2pa
C2PA := $(C2PA_DIR)/.c2pa-$(call checksum,requirements/c2pa.txt)
# Apart from the product: it reads sources only, and pins packages that RecBole pins otherwise.
DOCS := $(VENV_DOCS)/.docs-$(call checksum,requirements/docs.txt)
AIRFLOW := $(VENV_AIRFLOW)/.airflow-$(call checksum,requirements/airflow.txt)
# Airflow once more, with what the CeleryExecutor takes on top of the same list.
VENV_CELERY := .venv-airflow-celery
CELERY := $(VENV_CELERY)/.celery-$(call checksum,requirements/airflow.txt requirements/airflow-celery.txt)

# One process per core, each with one thread; a file's tests share their fixtures in one process.
PYTEST := OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n auto --dist loadfile

# Twice quiet: errors only.
PIP := -m pip install -qq --disable-pip-version-check

export AIRFLOW_HOME := $(CURDIR)/.airflow
export AIRFLOW__CORE__DAGS_FOLDER := $(CURDIR)/dags
export AIRFLOW__CORE__LOAD_EXAMPLES := false
export AIRFLOW__USAGE_DATA_COLLECTION__ENABLED := false
export PIGEON_PYTHON := $(CURDIR)/$(VENV)/bin/python
export PIGEON_WORK_DIR := $(abspath $(WORK_DIR))
export PIGEON_CONFIG := $(if $(CONFIG),$(abspath $(CONFIG)))
# A file, or else the name of a bundled configuration.
export PIGEON_ALIGN_CONFIG := $(if $(CONFIG),$(or $(abspath $(wildcard $(CONFIG))),$(CONFIG)),smoke)

# The raw files of `make example-own-data`, and where its night goes.
SHOP := docs/examples/own-data
OWN := build/own-data

GALLERY := $(WORK_DIR)/runs/$(DATE)/gallery.html

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z][a-z-]*:.*##' $(MAKEFILE_LIST) | sort \
		| awk -F ':.*## ' '{ printf "  make %-16s %s\n", $$1, $$2 }'
	@echo
	@echo "  nightly, align and gallery take DATE=YYYY-MM-DD (default $(DATE)), WORK_DIR= and CONFIG="

.PHONY: airflow-home
airflow-home: $(AIRFLOW)
	@mkdir -p $(AIRFLOW_HOME)
	@echo "Preparing Airflow's metadata (SQLite) ..."
	@$(VENV_AIRFLOW)/bin/airflow db migrate > $(AIRFLOW_HOME)/setup.log 2>&1 \
		|| { tail -n 40 $(AIRFLOW_HOME)/setup.log; exit 1; }
	@$(VENV_AIRFLOW)/bin/airflow pools set pigeon_accelerator $(ACCELERATOR_SLOTS) \
		"Tasks that train or draw pictures at the same time" >> $(AIRFLOW_HOME)/setup.log 2>&1 \
		|| { tail -n 40 $(AIRFLOW_HOME)/setup.log; exit 1; }

.PHONY: nightly
nightly: export PIGEON_CONFIG := $(abspath $(or $(CONFIG),dags/bundled_night.yaml))
nightly: $(PRODUCT) airflow-home ## run one night through Airflow, then show its rows and its gallery
	@echo "Running pigeon_nightly for $(DATE) (full log: .airflow/nightly.log) ..."
	@$(VENV_AIRFLOW)/bin/airflow dags test pigeon_nightly $(DATE) 2>&1 \
		| tee $(AIRFLOW_HOME)/nightly.log | sed -unf dags/console.sed \
		|| { tail -n 60 $(AIRFLOW_HOME)/nightly.log; echo "The night of $(DATE) failed."; exit 1; }
	@echo
	@for query in night best_assets; do \
		echo "$$ pigeon-rec sql $$query"; \
		$(VENV)/bin/pigeon-rec sql $$query --work-dir $(WORK_DIR); echo; done
	@echo "Gallery: $(GALLERY)"

.PHONY: align
align: $(PRODUCT) airflow-home ## run one weekly alignment through Airflow: CONFIG=smoke, or a weekly YAML file
	@echo "Running pigeon_align for $(DATE) with $(PIGEON_ALIGN_CONFIG) (full log: .airflow/align.log) ..."
	@$(VENV_AIRFLOW)/bin/airflow dags test pigeon_align $(DATE) 2>&1 \
		| tee $(AIRFLOW_HOME)/align.log | sed -unf dags/console.sed \
		|| { tail -n 60 $(AIRFLOW_HOME)/align.log; echo "The alignment of $(DATE) failed."; exit 1; }
	@echo
	@echo "$$ pigeon-rec models list"
	@$(VENV)/bin/pigeon-rec models list --work-dir $(WORK_DIR)
	@echo "Verdict: $(WORK_DIR)/alignments/$(DATE)/promotion_check.json"

.PHONY: test
test: $(DEV) $(AIRFLOW) $(DOCS) $(OLD_DUCKDB) test-store test-c2pa ## run the whole suite, a real Airflow run included
	$(PYTEST) -m "not scale"

.PHONY: test-store
test-store: $(DEV) $(STORE) ## run a night through an emulated S3 bucket
	PYTHONPATH=$(STORE_DIR) $(VENV)/bin/python -m pytest tests/nightly/test_object_store.py

.PHONY: test-c2pa
test-c2pa: $(DEV) $(C2PA) ## sign and verify pictures of a night with C2PA
	PYTHONPATH=$(C2PA_DIR) $(VENV)/bin/python -m pytest tests/nightly/test_signed.py

.PHONY: test-duckdb
test-duckdb: $(DEV) $(OLD_DUCKDB) ## read a serving snapshot with a DuckDB 1.4 client
	$(VENV)/bin/python -m pytest tests/nightly/test_old_client.py

# Pythons whose newest packages the RecBole plugin is tested with, by any name or place they usually have.
MATRIX ?= 3.11 3.12 3.13

.PHONY: test-matrix
test-matrix: ## run the RecBole plugin's tests on every Python of MATRIX found, with today's packages
	@tried=; for version in $(MATRIX); do \
		python=; for p in python$$version "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/$$version.*/bin/python; do \
			"$$p" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$$version')" 2> /dev/null && python="$$p"; \
		done; \
		test -n "$$python" || { echo "Python $$version: not found, left out"; continue; }; \
		tried="$$tried $$version"; $(MAKE) --no-print-directory PYTHON="$$python" VERSION=$$version test-python; \
	done; test -n "$$tried" || { echo "None of Python $(MATRIX) was found"; exit 1; }

VENV_MATRIX = .venv-matrix-$(VERSION)

.PHONY: test-python
test-python:
	@echo "Python $(VERSION): installing today's packages into $(VENV_MATRIX) ..."
	@$(PYTHON) -m venv $(VENV_MATRIX)
	@$(VENV_MATRIX)/bin/python $(PIP) $$(grep '^torch==' requirements/product.txt)
	@$(VENV_MATRIX)/bin/python $(PIP) -e ".[recbole,dev]"
	@$(VENV_MATRIX)/bin/python $(PIP) --no-deps -r requirements/recbole.txt
	@$(VENV_MATRIX)/bin/python -c "import importlib.metadata as m; print(*(f'{p} {m.version(p)}' \
		for p in 'numpy pandas scipy torch ray recbole'.split()), sep=', ')"
	OMP_NUM_THREADS=1 $(VENV_MATRIX)/bin/python -m pytest -q tests/recbole_plugin

.PHONY: test-slow
test-slow: $(DEV) $(AIRFLOW) $(DOCS) ## run what `make check` leaves out: real training, nights, kills, Airflow
	$(PYTEST) -m slow

.PHONY: scale-test
scale-test: $(DEV) $(CELERY) scale-servers ## draw nights on two Celery workers, one of them killed (Debian, root once)
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -m scale tests/scale

.PHONY: scale-servers
scale-servers:
	@command -v redis-server > /dev/null && ls /usr/lib/postgresql/*/bin/initdb > /dev/null 2>&1 && exit; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
		echo "Installing Redis and PostgreSQL ..."; apt-get update -qq; \
		DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends redis-server postgresql > /dev/null; \
	else \
		echo "Redis and PostgreSQL are needed. As root on Debian: apt-get install redis-server postgresql"; exit 1; fi

.PHONY: check
check: $(DEV) ## lint, types and the quick tests
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(PYTEST) -m "not slow and not gpu and not scale"

.PHONY: bench
bench: $(DEV) $(AIRFLOW) ## run the benchmarks, or ONLY=start,growth: figures, bars, machine, in build/bench
	$(VENV)/bin/python -m benchmarks --out build/bench $(if $(ONLY),--only $(ONLY))

.PHONY: gpu-profile
gpu-profile: $(DEV) ## time the published-size shapes on this machine's accelerator, with random weights
	$(VENV)/bin/python -m benchmarks.gpu_profile $(PROFILE)

.PHONY: stickers
stickers: $(DEV) ## rebuild the bundled sticker catalogue and its simulated users (needs npm)
	$(VENV)/bin/python -m pigeon_rec.demo.build_stickers
	$(VENV)/bin/python -m pigeon_rec.demo.users

.PHONY: docs
docs: $(PRODUCT) $(DOCS) ## build the documentation site with its API reference in build/site
	$(VENV)/bin/python -m docs.settings_page
	NO_MKDOCS_2_WARNING=1 $(VENV_DOCS)/bin/python -m mkdocs build --quiet --strict
	@echo "Documentation: build/site/index.html"

.PHONY: gallery
gallery: $(PRODUCT) ## draw the gallery of one night again
	@$(VENV)/bin/pigeon-rec nightly report --date $(DATE) --work-dir $(WORK_DIR) \
		$(if $(CONFIG),--config $(CONFIG))
	@echo "Gallery: $(GALLERY)"

# Exactly the commands that a user would type.
.PHONY: example-own-data
example-own-data: export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
example-own-data: $(PRODUCT) ## from the raw tables and pictures of a small shop to a night, SQL and a gallery
	@rm -rf $(OWN)
	pigeon-rec init $(OWN) --items $(SHOP)/items.csv --interactions $(SHOP)/events.csv \
		--scenario $(SHOP)/icons.yaml --group-by product
	@echo
	pigeon-rec check $(OWN)/night.yaml --date $(DATE)
	@echo
	pigeon-rec nightly run --config $(OWN)/night.yaml --date $(DATE)
	@echo
	pigeon-rec sql best_assets --config $(OWN)/night.yaml
	@echo
	pigeon-rec sql "SELECT origin, image, score FROM asset_for('101', '10476')" --config $(OWN)/night.yaml
	@echo "Gallery: $(OWN)/var/runs/$(DATE)/gallery.html"

.PHONY: setup
setup: $(DEV) $(AIRFLOW) ## create both environments and nothing else

.PHONY: clean
clean: ## remove the nights and Airflow's metadata; environments stay
	rm -rf $(WORK_DIR) .airflow

# torch goes first and alone: pip then keeps the build (CPU or accelerator) that this machine gets for it.
$(PRODUCT):
	@test -n "$(PYTHON)" || { echo "Python 3.11 is needed; name it with make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Installing the product into $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python $(PIP) $$(grep '^torch==' requirements/product.txt)
	@$(VENV)/bin/python $(PIP) -r requirements/product.txt
	@$(VENV)/bin/python $(PIP) --no-deps -r requirements/recbole.txt
	@$(VENV)/bin/python $(PIP) --no-deps --no-build-isolation -e .
	@rm -f $(VENV)/.product-* && touch $@

$(DEV): $(PRODUCT)
	@echo "Installing test tools into $(VENV) ..."
	@$(VENV)/bin/python $(PIP) -r requirements/dev.txt
	@rm -f $(VENV)/.dev-* && touch $@

$(DOCS):
	@test -n "$(PYTHON)" || { echo "Python 3.11 is needed; name it with make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Installing the documentation tools into $(VENV_DOCS) ..."
	@$(PYTHON) -m venv $(VENV_DOCS)
	@$(VENV_DOCS)/bin/python $(PIP) -r requirements/docs.txt
	@rm -f $(VENV_DOCS)/.docs-* && touch $@

$(STORE): $(DEV)
	@echo "Installing an emulated S3 into $(STORE_DIR) ..."
	@rm -rf $(STORE_DIR)
	@$(VENV)/bin/python $(PIP) --no-deps --target $(STORE_DIR) -r requirements/store.txt
	@touch $@

$(C2PA): $(DEV)
	@echo "Installing c2pa-python into $(C2PA_DIR) ..."
	@rm -rf $(C2PA_DIR)
	@$(VENV)/bin/python $(PIP) --no-deps --target $(C2PA_DIR) -r requirements/c2pa.txt
	@touch $@

$(OLD_DUCKDB): $(DEV)
	@echo "Installing a DuckDB 1.4 client into $(OLD_DUCKDB_DIR) ..."
	@rm -rf $(OLD_DUCKDB_DIR)
	@$(VENV)/bin/python $(PIP) --no-deps --target $(OLD_DUCKDB_DIR) -r requirements/duckdb-1.4.txt
	@touch $@

$(AIRFLOW):
	@test -n "$(PYTHON)" || { echo "Python 3.11 is needed; name it with make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Installing Airflow into $(VENV_AIRFLOW) ..."
	@$(PYTHON) -m venv $(VENV_AIRFLOW)
	@$(VENV_AIRFLOW)/bin/python $(PIP) -r requirements/airflow.txt
	@rm -f $(VENV_AIRFLOW)/.airflow-* && touch $@

$(CELERY):
	@test -n "$(PYTHON)" || { echo "Python 3.11 is needed; name it with make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Installing Airflow with Celery into $(VENV_CELERY) ..."
	@$(PYTHON) -m venv $(VENV_CELERY)
	@$(VENV_CELERY)/bin/python $(PIP) -r requirements/airflow.txt -r requirements/airflow-celery.txt
	@rm -f $(VENV_CELERY)/.celery-* && touch $@
