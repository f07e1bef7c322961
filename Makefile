# requirements/install.sh prints the Python to use: MMATTN_PYTHON, an active environment that has the stack, or .venv.
# What a task starts from there finds the package in this checkout and the same Python as `python`.
.NOTPARALLEL:
.PHONY: help demo test test-all test-matrix lint docs doctor mutants clean clean-runs

# Threads that wait by spinning make CPU runs many times slower when the cores are shared.
export OMP_WAIT_POLICY ?= PASSIVE
export PYTHONPATH := $(CURDIR)$(if $(PYTHONPATH),:$(PYTHONPATH))
find_python = @python=$$(bash requirements/install.sh $@) && export PYTHON="$$python" &&
with_python = $(find_python) PATH="$$(dirname "$$python"):$$PATH" &&

help:
	@echo 'make demo   a short tour on the CPU; compiles nothing'
	@echo 'make test   the test suite; the first run compiles the ops of mmcv (about 9 minutes on 2 cores)'
	@echo 'make test-all  that and what takes minutes: every config on generated data, ranks killed at any moment'
	@echo 'make test-matrix  the core on stock packages, forks and the newest torch, each with its environment; see docs/install.md'
	@echo 'make doctor  what is installed in the environment, and what is wrong with it'
	@echo 'make lint   style, format, spelling and types'
	@echo 'make docs   write the generated pages and build the site in build/site; ARGS=--check only compares'
	@echo 'make mutants  make small mistakes in the code and count those that the tests notice; see docs/testing.md'
	@echo 'make clean  delete caches and build output; .venv and work_dirs stay'
	@echo 'make clean-runs  delete all of work_dirs (checkpoints, logs), after asking'
	@echo 'All but the last two make .venv when it is missing. MMATTN_PYTHON=/path/to/python uses that Python as it is,'
	@echo 'PYTHON=python3.11 makes .venv from that one, ARGS="-k coord" goes to the program behind a target.'

# With the PATH of the shell, which it looks at to say how to go on there.
demo:
	$(find_python) "$$python" tools/demo.py $(ARGS)

pytest = $(with_python) OMP_NUM_THREADS=1 "$$python" -m pytest -n auto --dist worksteal

test:
	$(pytest) $(ARGS)

test-all:
	$(pytest) -m 'slow or not slow' $(ARGS)

# Its program needs no packages: each leg has its own.
test-matrix:
	@$(firstword $(PYTHON) python3) -m tests.matrix $(ARGS)

lint:
	$(with_python) "$$python" -m ruff check . && "$$python" -m ruff format --check . && \
	"$$python" -m codespell_lib && "$$python" -m mypy

docs:
	$(with_python) "$$python" docs/generate/website.py $(ARGS)

doctor:
	$(find_python) "$$python" -m mmattn doctor $(ARGS)

mutants:
	$(with_python) OMP_NUM_THREADS=1 "$$python" -m tests.mutants $(ARGS)

clean:
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

clean-runs:
	@du -sh work_dirs/* 2> /dev/null || { echo 'work_dirs is empty'; exit 0; }; \
	read -r -p 'delete these? [y/N] ' answer && [ "$$answer" = y ] || { echo 'nothing is deleted'; exit 1; }; \
	find work_dirs -mindepth 1 -not -path work_dirs/.gitignore -delete
