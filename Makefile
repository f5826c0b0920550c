# Needs Python >= 3.11 and make, nothing else. PYTHON=/path/to/python3 picks the interpreter.

VENV ?= .venv
PYTHON ?= $(shell bin/find-python)
PY = $(VENV)/bin/python
# Its plug-in is not used, and to load it takes each worker a second.
PYTEST = $(PY) -m pytest -p no:schemathesis -n 4 --dist loadscope --no-loadscope-reorder
# Which tests, by their markers (pyproject.toml): MARKED="not anywhere".
MARKED ?=
# The database of `make test`: sqlite or postgres; any is PostgreSQL where it is installed.
TEST_DATABASE ?= any

# For `make chaos` and `make soak`: CHAOS="--seed 7 --broker valkey", SOAK="--minutes 60 --rate 100".
CHAOS ?=
# For `make bench`: one figure instead of all, BENCH="backlog --runs 3 --report backlog.json".
BENCH ?=
# For `make fuzz`: requests to each operation of the API, of each sort.
EXAMPLES ?= 200
# For `make mutants`: MUTANTS="--seed 2 --sample 100", MUTANTS="--area leases".
MUTANTS ?=
SOAK ?=

# Hundreds of processes start: each would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE
# Of what makes the manual, which says at each start that it has a successor.
export NO_MKDOCS_2_WARNING = 1

.PHONY: help up demo wheel docs docs-live test quick guides check bench chaos soak fuzz mutants screenshots stubs lock clean
.NOTPARALLEL:

help:
	@echo "make demo    the whole product with a simulated Salesforce org, live; Ctrl-C ends it"
	@echo "make wheel   the product as a package for pip, in var/wheel"
	@echo "make up      the product in containers (needs Docker with Compose)"
	@echo "make test    the whole test suite, on PostgreSQL where it is installed, or else on SQLite"
	@echo "make quick   a quick part of the suite, on SQLite: for the inner loop"
	@echo "make guides  the guides for each situation, followed as written"
	@echo "make check   format, lint, types, import layers, migrations, the manual, known vulnerabilities"
	@echo "make docs    the manual as a site, in var/site; make docs-live serves it while it is written"
	@echo "make bench   benchmarks"
	@echo "make chaos   random faults while changes come in: nothing lost, nothing twice, in order"
	@echo "make soak    half an hour of steady load: memory, files, connections and threads stay"
	@echo "make fuzz    the API is sent what its schema allows and what it does not: nothing else comes back"
	@echo "make mutants  plausible mistakes in the core, one at a time: the tests must notice nine of ten"
	@echo "make screenshots  docs/images anew (needs Chromium)"
	@echo "make stubs   what speaks gRPC anew from the .proto files"
	@echo "make lock    requirements*.txt anew from pyproject.toml (needs uv)"

demo:
	@bin/install "$(VENV)" "$(PYTHON)" requirements.txt
	@$(PY) -m demo

wheel:
	@bin/install "$(VENV)" "$(PYTHON)" requirements-dev.txt
	@rm -rf var/wheel
	$(PY) -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir var/wheel .
	@ls var/wheel/*.whl

up:
	@bin/make-secrets
	docker compose up --detach --build

test:
	@bin/install "$(VENV)" "$(PYTHON)" requirements-dev.txt
	TEST_DATABASE=$(TEST_DATABASE) $(PYTEST) $(if $(MARKED),-m "$(MARKED)")

quick:
	@bin/install "$(VENV)" "$(PYTHON)" requirements-dev.txt
	$(PYTEST) -q -m "not process and not slow"

guides:
	@bin/install "$(VENV)" "$(PYTHON)" requirements-dev.txt
	$(PY) -m tests.guides

check:
	@bin/install "$(VENV)" "$(PYTHON)" requirements-dev.txt
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	DEBUG=true $(PY) -m mypy --cache-dir=/dev/null .
	$(VENV)/bin/lint-imports
	$(PY) bin/compile-stubs --check
	$(PY) -m docs.generator --check
	$(PY) -m mkdocs build
	$(PY) bin/audit-dependencies
	DEBUG=true $(PY) manage.py makemigrations --check --dry-run

docs:
	@bin/install "$(VENV)" "$(PYTHON)" requirements-dev.txt
	$(PY) -m docs.generator
	$(PY) -m mkdocs build

docs-live:
	@bin/install "$(VENV)" "$(PYTHON)" requirements-dev.txt
	$(PY) -m mkdocs serve

bench:
	@bin/install "$(VENV)" "$(PYTHON)" requirements-dev.txt
	$(PY) -m benchmarks $(BENCH)

chaos:
	@bin/install "$(VENV)" "$(PYTHON)" requirements-dev.txt
	$(PY) -m tests.chaos $(CHAOS)

soak:
	@bin/install "$(VENV)" "$(PYTHON)" requirements-dev.txt
	$(PY) -m tests.chaos.soak $(SOAK)

screenshots:
	@bin/install "$(VENV)" "$(PYTHON)" requirements-dev.txt
	$(PY) -m pytest -q tests/browser/take_screenshots.py

fuzz:
	@bin/install "$(VENV)" "$(PYTHON)" requirements-dev.txt
	CDC_TEST_EXAMPLES=$(EXAMPLES) $(PY) -m pytest -q tests/api/test_schema_holds.py
	CDC_TEST_EXAMPLES=$(EXAMPLES) TEST_DATABASE=postgres $(PY) -m pytest -q tests/api/test_schema_holds.py

mutants:
	@bin/install "$(VENV)" "$(PYTHON)" requirements-dev.txt
	$(PY) -m tests.mutants $(MUTANTS)

stubs:
	@bin/install "$(VENV)" "$(PYTHON)" requirements-dev.txt
	$(PY) bin/compile-stubs

lock:
	uv pip compile --universal --python-version 3.11 --no-emit-index-url -q pyproject.toml -o requirements.txt
	uv pip compile --universal --python-version 3.11 --no-emit-index-url -q pyproject.toml --extra flower -c requirements.txt -o requirements-flower.txt
	uv pip compile --universal --python-version 3.11 --no-emit-index-url -q pyproject.toml --extra otel -c requirements.txt -o requirements-otel.txt
	uv pip compile --universal --python-version 3.11 --no-emit-index-url -q pyproject.toml --group dev -c requirements.txt -o requirements-dev.txt

clean:
	rm -rf $(VENV) var .mypy_cache .ruff_cache .pytest_cache
