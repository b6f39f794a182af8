# make demo    the demo's environment, then the main job on the built-in task
# make test    the full environment, then every test
# make env     the full environment (.venv)
# make check   lint, format, types, import arrows
SHELL := /bin/bash
PYTHON ?= python3
TORCH := torch==2.13.0
# They name xdsl 0.28, which pip cannot have beside pydantic; what is used of them needs none of it.
LITERT := --no-deps litert-torch==0.10.0 litert-converter==0.5.0
PIP := -m pip install --quiet --disable-pip-version-check -c constraints.txt
export OMP_NUM_THREADS ?= 2

.PHONY: demo env test test-fast check format schema clean browser microcontroller

demo: .venv-demo/ready
	.venv-demo/bin/galenic demo

env: .venv/ready

.venv-demo/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-demo
	.venv-demo/bin/python $(PIP) $(TORCH) -e '.[forge]'
	touch $@

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python $(PIP) $(TORCH) -e '.[all,dev]'
	.venv/bin/python $(PIP) $(LITERT)
	touch $@

# A headless browser for the tests of the report and of the page: Debian's Chromium and, by lock files, playwright-core and
# TensorFlow.js beside the tests, and what the page runs on in its cache.
tests/browser/node_modules: tests/browser/package-lock.json
	cd tests/browser && npm ci --silent --no-audit --no-fund
	touch $@

browser: tests/browser/node_modules .venv/ready
	@.venv/bin/galenic export --web-setup > /dev/null
	@command -v chromium > /dev/null || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium > /dev/null; } \
	  || { echo "Chromium is missing: install it (Debian: apt-get install chromium) and run again"; exit 1; }

# What compiles nets in C, for this machine and for a Cortex-M, and the board that runs the latter.
microcontroller:
	@{ command -v gcc && command -v arm-none-eabi-gcc && command -v qemu-system-arm; } > /dev/null \
	  || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
	       gcc libc6-dev gcc-arm-none-eabi qemu-system-arm > /dev/null; } \
	  || { echo "gcc, arm-none-eabi-gcc or qemu-system-arm is missing: install gcc-arm-none-eabi and qemu-system-arm"; exit 1; }

test: env browser microcontroller
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE .venv/bin/python -m pytest -n 2 --dist loadfile

test-fast: env
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE .venv/bin/python -m pytest -n 2 --dist loadfile -m "not slow and not browser"

check: env
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

format: env
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

# The JSON Schema of report.json, after a record or its words have changed.
schema: env
	.venv/bin/python -c "import json; from galenic.reporting.json_report import SCHEMA_PATH, report_schema; \
	  SCHEMA_PATH.write_text(json.dumps(report_schema(), indent=2) + chr(10))"

clean:
	rm -rf .venv .venv-demo tests/browser/node_modules .mypy_cache .ruff_cache .pytest_cache
