# One entry for everything a person does with this tree; `make help` lists it.
# Each step leaves a stamp under .stamps/, so that a second `make` installs nothing and needs no network.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet --quiet
STAMPS := .stamps
COMPILE := $(BIN)/uv --quiet --no-config pip compile --universal --python-version 3.11 --system-certs \
	--generate-hashes --annotation-style line --custom-compile-command "make lock"

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint bench soak lock clean

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 8

demo: $(STAMPS)/base ## install into .venv and run the whole thing on loopback, as an ordinary user
	$(BIN)/sealcast demo

test: $(STAMPS)/dev $(STAMPS)/debian ## install what the tests need, then run all of them
	tools/run-tests $(TESTS)

lint: $(STAMPS)/dev ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMPS)/base ## measure the packet path and the programs on this machine
	$(BIN)/sealcast bench dataplane

soak: $(STAMPS)/dev $(STAMPS)/debian ## the long form of the tests, up to an hour
	$(BIN)/python -m pytest -m soak --timeout 3600

lock: $(STAMPS)/dev ## choose versions again and write the lock files (needs the network)
	$(COMPILE) --upgrade --extra server --extra demo --extra invoice --extra plot --extra pkcs11 --extra postgres --extra cluster --extra escrow --group build --group test --group fuzz --group lint --group lock \
		pyproject.toml --output-file requirements-dev.lock
	$(COMPILE) --upgrade --extra server --extra demo --group build --constraints requirements-dev.lock \
		pyproject.toml --output-file requirements.lock
	$(COMPILE) --upgrade --no-deps --group clip --output-file requirements-clip.lock

clean: ## remove what make made
	rm -rf $(VENV) $(STAMPS) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests tools -name __pycache__ -prune -exec rm -rf {} +

# pyvenv.cfg is the one file of an environment that is written once and never touched again.
$(VENV)/pyvenv.cfg:
	@tools/check-python $(PYTHON)
	$(PYTHON) -m venv --clear $(VENV)

# The project itself is installed last, from this tree and with the build backend of the lock file.
$(STAMPS)/base: $(VENV)/pyvenv.cfg requirements.lock pyproject.toml
	$(PIP) install --require-hashes --no-deps -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation --editable .
	@mkdir -p $(@D) && touch $@

$(STAMPS)/dev: $(STAMPS)/base requirements-dev.lock requirements-clip.lock
	$(PIP) install --require-hashes --no-deps -r requirements-dev.lock -r requirements-clip.lock
	@mkdir -p $(@D) && touch $@

$(STAMPS)/debian: tools/install-debian-packages
	@mkdir -p $(@D)
	tools/install-debian-packages $(STAMPS)/unpacked
	@touch $@
