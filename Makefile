PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt
ENVIRONMENT := HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1
RUNS := runs

.PHONY: help demo test test-quick test-slow walk lint format types docs bench clean

help:
	@echo "make demo    a story in five steps: a unit that holds beyond its training length, an LSTM that falls, and a proof"
	@echo "make test    run the tests"
	@echo "make test-slow     the fuzzers alone, with 1,000 inputs each"
	@echo "make walk    what a stranger does: the wheel in a fresh environment, the commands of README, the gallery"
	@echo "make test-quick    leave out those that are slow: kill and resume, installed packages, several processes"
	@echo "make lint    check style, format and which room imports which"
	@echo "make types   check types"
	@echo "make docs    build the documentation"
	@echo "make bench   measure speed and memory"

$(BIN)/python:
	$(PYTHON) -m venv .venv

# Stamps, so that an environment is only made again when what it is made of has changed.
.venv/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e '.[report]'
	@touch $@

.venv/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e '.[dev]'
# Its plain PyTorch files are what scans are compared with; its own requirements need a GPU.
	$(INSTALL) --no-deps fla-core
	@touch .venv/.installed $@

demo: .venv/.installed
	@echo
	@echo "1. A log-depth unit learns two languages from strings of at most 40 symbols: parity, and where a walk on a cycle ends."
	$(BIN)/lengthwise train demo/parity --runs $(RUNS)
	$(BIN)/lengthwise train demo/cycle_navigation --runs $(RUNS)
	@echo
	@echo "2. An LSTM learns the walk from as long strings, with the right answer behind every symbol."
	$(BIN)/lengthwise train demo/lstm-cycle_navigation --runs $(RUNS)
	@echo
	@echo "3. All are asked strings of up to 100,000 symbols. To 40 all are right, or nearly so. Beyond, the LSTM comes down to guessing, which"
	@echo "   is right on a fifth; the unit should stay at 100 %."
	$(BIN)/lengthwise evaluate $(RUNS)/demo
	@echo
	@echo "4. A page shows it: accuracy by length, and whether the difference is more than chance."
	$(BIN)/lengthwise report $(RUNS)/demo --out demo
	@echo
	@echo "5. No error on samples is no proof. The last table is one: 'verdict' says whether a unit is right on every string of every"
	@echo "   length, or shows the shortest on which it is wrong. A third unit, of modular arithmetic, is proved as it is; the two"
	@echo "   others with their nodes rounded to finitely many elements ('snapped')."
	$(BIN)/lengthwise train matrix/modular_arithmetic --seed 0 --runs $(RUNS)
	$(BIN)/lengthwise certify --snapped-ok $(RUNS)/demo/parity $(RUNS)/demo/cycle_navigation $(RUNS)/matrix/modular_arithmetic/seed-0
	@echo
	@echo "Now open demo/index.html. README says how to put a model of your own beside these."

test: .venv/.installed-dev
	@echo "All tests take about 6 minutes on two idle cores; make test-quick takes one."
	$(ENVIRONMENT) $(BIN)/python -m pytest -n 2

test-quick: .venv/.installed-dev
	$(ENVIRONMENT) $(BIN)/python -m pytest -n 2 -m "not slow"

test-slow: .venv/.installed-dev
	$(ENVIRONMENT) $(BIN)/python -m pytest -n 2 -m "fuzz" --fuzz-budget 1000

walk: .venv/.installed-dev
	@echo "A stranger's walk: a fresh environment, the commands of README, the gallery."
	$(BIN)/python tests/walk.py

lint: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

format: .venv/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: .venv/.installed-dev
	$(BIN)/pyright

docs: .venv/.installed-dev
	$(BIN)/mkdocs build --strict

bench: .venv/.installed-dev
	for script in benchmarks/*.py; do $(ENVIRONMENT) $(BIN)/python $$script || exit 1; done

clean:
	rm -rf build dist site .pytest_cache .ruff_cache .hypothesis
