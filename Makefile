# make demo and make test set up what they need, once, in .venv. See CONTRIBUTING.md.
SUITABLE := import sys; sys.exit(sys.version_info < (3, 11))
PY ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3 python, \
	$(shell $(name) -c '$(SUITABLE)' 2>/dev/null && echo $(name))))
VENV ?= .venv
CONSTRAINTS ?= constraints.txt
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := -m pip --quiet --quiet --disable-pip-version-check

# type checkers follow folders on the path but no import hook, which is all that pip leaves for packages whose folders have
# other names than they are imported by: so the environment gets a folder of links under the names of the packages
SOURCES := $(VENV)/src
LINK = mkdir -p $(SOURCES) && ln -sfn '$(CURDIR)/featurekit' $(SOURCES)/featurekit && \
	for plugin in drag sketch; do ln -sfn "$(CURDIR)/plugins/$$plugin" "$(SOURCES)/featurekit_$$plugin"; done && \
	$(BIN)/python -c 'import pathlib, sysconfig; \
	pathlib.Path(sysconfig.get_path("purelib"), "featurekit_links.pth").write_text("$(abspath $(SOURCES))\n")'

.PHONY: demo test evidence lock clean

demo: $(STAMP)
	@$(BIN)/featurekit run plugin=drag
	@$(BIN)/featurekit run plugin=sketch

test: export OMP_NUM_THREADS = 1
test: export HF_HUB_OFFLINE = 1
test: $(STAMP)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q -n auto --dist loadfile

# the tables of the pages from the records in docs/evidence; records that are missing, or named by RUN=, are made by their runs, and pictures
# that PICTURES= names are drawn (python -m benchmarks.evidence --list says by what); checkouts and photographs are given by GIVEN=DIFT=FOLDER,...
evidence: $(STAMP)
	@$(BIN)/python -m benchmarks.evidence --missing --run '$(RUN)' --pictures '$(PICTURES)' --given '$(GIVEN)'

$(STAMP): pyproject.toml $(CONSTRAINTS)
	@test -n "$(PY)" && $(PY) -c '$(SUITABLE)' || { echo \
		"featurekit needs Python 3.11 or newer, found '$(PY)'; install one or set PY=/path/to/python"; exit 1; }
	@echo "setting up $(VENV): this downloads PyTorch and takes some minutes, once"
	@test -x $(BIN)/pip || $(PY) -m venv $(VENV) || { rm -rf $(VENV); echo \
		"$(PY) must be able to make virtual environments; on Debian: apt install python3-venv"; exit 1; }
	@$(BIN)/python $(PIP) install --constraint $(CONSTRAINTS) --editable '.[dev]'
	@$(LINK)
	@touch $@

# the newest versions that the ranges of pyproject.toml allow, without the local tags of builds
lock:
	@rm -rf $(VENV)-lock
	@$(PY) -m venv $(VENV)-lock
	@$(VENV)-lock/bin/python $(PIP) install '.[dev]'
	@$(VENV)-lock/bin/python -m pip freeze --exclude featurekit | sed 's/+[^ ]*$$//' > constraints.txt
	@rm -rf $(VENV)-lock build

clean:
	@rm -rf $(VENV) $(VENV)-lock build dist runs *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
