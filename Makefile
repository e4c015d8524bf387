# Everything works from a fresh clone on Debian or Ubuntu with Python 3.10-3.12; .venv is made on the way.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready
# Test files spread over workers, one per core; a test that aborts is one failure, and the others still run.
PARALLEL := -n auto --dist loadfile --max-worker-restart 100 --continue-on-collection-errors

.DEFAULT_GOAL := help
FUZZ_INPUTS ?= 1000
.PHONY: help demo test test-all fuzz check lint types bench acceptance docs sample assets assets-streets assets-objects assets-creatures clean

help:
	@echo "make demo        reconstruct the sample scene in data/"
	@echo "make test        the test suite (under 10 minutes on 2 cores)"
	@echo "make test-all    the slow tests too"
	@echo "make fuzz        broken files for every reader (FUZZ_INPUTS=1000 for each)"
	@echo "make check       ruff, mypy, import layers"
	@echo "make bench       speed and memory, against the named peers"
	@echo "make acceptance  accuracy on real photos (needs ../shared/data)"
	@echo "make docs        print the tables in docs/ anew"
	@echo "make sample      render the sample scene in data/ again"
	@echo "make assets      install the furniture and textures that rooms are made of (apt)"
	@echo "make assets-streets, assets-objects, assets-creatures   what worlds are made of, by family (apt)"

$(READY): pyproject.toml constraints.txt scripts/setup.sh scripts/apt.sh
	PYTHON=$(PYTHON) VENV=$(VENV) bash scripts/setup.sh
	@touch $@

demo: $(READY)
	$(RUN) -m pipelines.multi_view data/sample/images --out out/demo --preset fast

test: $(READY)
	$(RUN) -m pytest $(PARALLEL) -m "not slow and not acceptance"

test-all: $(READY)
	$(RUN) -m pytest $(PARALLEL) -m "not acceptance"

fuzz: $(READY)
	$(RUN) -m tests.fuzz --inputs $(FUZZ_INPUTS)

check: lint types
	$(RUN) -m pytest tests/test_layers.py

lint: $(READY)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

types: $(READY)
	@if $(RUN) -c "import sys; sys.exit(sys.version_info < (3, 11))"; then $(RUN) -m mypy; \
	else echo "types are checked with Python 3.11 and later: the last numpy for 3.10 knows fewer of them"; fi

bench: $(READY)
	$(RUN) -m tests.benchmarks

acceptance: $(READY)
	$(RUN) -m tests.acceptance

docs: $(READY)
	$(RUN) -m scripts.docs_tables

sample: $(READY)
	$(RUN) -c "from pathlib import Path; from lotus_recon.synthetic.sample import write_sample; write_sample(Path('data/sample'))"

assets:
	bash scripts/assets.sh

# People, animals and small things are Sweet Home 3D's, as the furniture of rooms.
assets-objects assets-creatures: assets

assets-streets:
	bash scripts/assets_streets.sh

clean:
	rm -rf $(VENV) out
