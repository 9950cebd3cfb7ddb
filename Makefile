# `make demo` and `make test` set up all they need in .venv; nothing else on the machine is used.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO ?= demo
# Two test processes of one thread each: PyTorch's and TensorFlow's threads spin while they wait,
# and more of them than processors are several times slower together than one after the other.
WORKERS ?= 2
ONE_THREAD := OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1

.PHONY: help demo test test-all lint types fast bench browser schema golden figure clean

help:
	@echo "make demo      analyse AlexNet, build and compare it in PyTorch and Keras, train a small one"
	@echo "make test      formatting, lint, import rules, types and all tests"
	@echo "make test-all  that and every network of the zoo at full size: hours, and more than 24 GB"
	@echo "make fast      the tests without the slow ones"
	@echo "make browser   the Chromium that the tests of pages drive, where there is none"
	@echo "make bench     measure speed against other tools (benchmarks/RESULTS.md)"

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[torch,keras,onnx,weights,train,tensorboard,dev]'
	@touch $@

demo: $(READY)
	@mkdir -p $(DEMO)
	$(BIN)/archspec analyze specs/alexnet.yaml
	$(BIN)/archspec analyze specs/alexnet.yaml --format markdown --output $(DEMO)/alexnet.md
	$(BIN)/archspec analyze specs/alexnet.yaml --format html --output $(DEMO)/alexnet.html
	$(BIN)/archspec draw specs/alexnet.yaml --output $(DEMO)/alexnet.svg
	$(BIN)/archspec build --backend torch --output $(DEMO)/alexnet_torch.py
	$(BIN)/archspec build --backend keras --output $(DEMO)/alexnet_keras.py
	$(BIN)/archspec build --backend onnx --output $(DEMO)/alexnet.onnx
	$(BIN)/archspec verify alexnet
	@rm -rf $(DEMO)/torch $(DEMO)/keras
	$(BIN)/archspec train alexnet-small --backend torch --output $(DEMO)/torch
	$(BIN)/archspec train alexnet-small --backend keras --output $(DEMO)/keras
	@echo
	@echo "The results are in $(DEMO)/:"
	@echo "  alexnet.md                         every shape, parameter and contradiction"
	@echo "  alexnet.html                       the same as one page, with figure and charts"
	@echo "  alexnet.svg                        the paper's figure"
	@echo "  alexnet_torch.py, alexnet_keras.py  the models; python $(DEMO)/alexnet_torch.py runs one"
	@echo "  alexnet.onnx                       the same for ONNX runtimes"
	@echo "  torch/, keras/                     the runs: metrics.jsonl, checkpoints, model source"

test: $(READY) lint types
	$(ONE_THREAD) $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup

test-all: $(READY) lint types
	$(ONE_THREAD) $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m ""

fast: $(READY)
	$(ONE_THREAD) $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m "not slow"

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: $(READY)
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/python -m benchmarks

# The tests of pages drive the system's Chromium and skip without one, saying so.
browser:
	@for name in chromium chromium-browser google-chrome; do \
		if command -v $$name; then exit 0; fi; \
	done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && \
		apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null; \
	else \
		echo "install Chromium; on Debian, as root: apt-get install chromium" >&2; exit 1; \
	fi

# The JSON Schema that editors find beside the specs.
schema: $(READY)
	$(BIN)/archspec schema > specs/archspec.schema.json

# The emitted sources that the tests compare with.
golden: $(READY)
	ARCHSPEC_UPDATE_GOLDEN=1 $(BIN)/python -m pytest tests/backends -k golden

# The picture of AlexNet that the README shows.
figure: $(READY)
	$(BIN)/archspec draw alexnet --output docs/alexnet.svg

clean:
	rm -rf $(VENV) $(DEMO) runs dist build .pytest_cache .mypy_cache .ruff_cache
