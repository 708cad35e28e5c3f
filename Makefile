# Both commands may be repeated: what is installed already is not installed again, and an interrupted install is repaired.
#   PYTHON=/path/to/python3.12   uses that Python for a new .venv        ALL=1   runs the long tests as well
.NOTPARALLEL:
.DEFAULT_GOAL := help
.PHONY: help demo test benchmarks clean
inputs := pyproject.toml constraints.txt

help:
	@echo "make demo          install, then find a winning ticket in scikit-learn's digits (runs/digits)"
	@echo "make test          install what the tests need, then run every check (ALL=1: the long tests too)"
	@echo "make benchmarks    the side-by-side timings of docs/benchmarks.md (DATA=folder with the MNIST files)"
	@echo "make clean         remove .venv and caches; runs/ stays"

demo: .venv/.installed-demo
	@.venv/bin/lth run examples/digits_lenet.toml --into runs/digits

test: .venv/.installed-dev
	@LTH_ALL=$(or $(ALL),0) .ci/checks

benchmarks: .venv/.installed-dev
	@.venv/bin/python benchmarks/startup.py
	@test -n "$(DATA)" || { echo "benchmarks/mnist_lenet.py left out: name the folder of MNIST files with DATA=folder"; exit 1; }
	@.venv/bin/python benchmarks/mnist_lenet.py "$(DATA)"

.venv/.installed-demo: $(inputs)
	@PYTHON="$(PYTHON)" .ci/install demo,report
	@touch $@

.venv/.installed-dev: $(inputs)
	@PYTHON="$(PYTHON)" .ci/install dev
	@touch .venv/.installed-demo $@

clean:
	rm -rf .venv .pytest_cache .hypothesis .ruff_cache .import_linter_cache build dist
