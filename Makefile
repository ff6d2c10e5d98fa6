# The short commands. `make help` lists them.
#   MODEL=slowfast_r50   another row of the zoo          DATASET=mini   another data set
#   MINUTES=9            of training in `demo`; MINUTES=None: all of the recipe's epochs, however long they take
#   TORCH=cpu            PyTorch's CPU-only wheels       PYTHON=…       the Python that makes .venv

MODEL   ?= slowonly_r50
DATASET ?= mini
MINUTES ?= 9
TORCH   ?= default
PYTHON  ?= python3
VENV    ?= .venv

BIN    := $(VENV)/bin
FOLDER := outputs/runs/$(DATASET)/$(MODEL)
STEPS  := 01_prepare_data 02_build_model 03_train 04_evaluate 05_visualise
DONE   := $(STEPS:%=$(FOLDER)/notebooks/%.ipynb)

.PHONY: help install demo grid test test-browser lab lint bench bench-models bench-video bench-eval bench-data bench-workbench bench-writing bench-start bench-growth bench-gpu bench-table
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 17

install: $(BIN)/.installed  ## make .venv and install the package with all it needs
$(BIN)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
ifeq ($(TORCH),cpu)
	$(BIN)/pip install torch torchvision --index-url https://download.pytorch.org/whl/cpu
endif
	$(BIN)/pip install -e .
	touch $@

demo: $(DONE)  ## mini-AVA, train MODEL, score it, draw the GIF: notebooks 01 to 05, headless
	@$(BIN)/python -m avalib.run report $(FOLDER)

# Each notebook runs when the one before it has; a failed one is left as *.failed.ipynb, traceback inside.
$(FOLDER)/notebooks/%.ipynb: notebooks/%.ipynb | $(BIN)/.installed
	@mkdir -p $(@D)
	@echo "== $* ($(MODEL), $(DATASET))"
	@$(BIN)/papermill $< $(@:.ipynb=.failed.ipynb) -p dataset $(DATASET) $(if $(filter 01%,$*),,-p model $(MODEL)) \
	  $(if $(filter 03%,$*),-p minutes $(MINUTES)) --log-output --no-progress-bar
	@mv $(@:.ipynb=.failed.ipynb) $@
$(FOLDER)/notebooks/02_build_model.ipynb: $(FOLDER)/notebooks/01_prepare_data.ipynb
$(FOLDER)/notebooks/03_train.ipynb: $(FOLDER)/notebooks/02_build_model.ipynb
$(FOLDER)/notebooks/04_evaluate.ipynb: $(FOLDER)/notebooks/03_train.ipynb
$(FOLDER)/notebooks/05_visualise.ipynb: $(FOLDER)/notebooks/04_evaluate.ipynb

grid: $(BIN)/.installed  ## the same ten seconds by every row that has been evaluated on DATASET, as one GIF
	$(BIN)/python -m avalib.draw.grid --dataset $(DATASET)

$(BIN)/.tested: pyproject.toml | $(BIN)/.installed
	$(BIN)/pip install -e '.[test]'
	touch $@

test: $(BIN)/.tested  ## the fast test suite
	$(BIN)/ruff check .
	$(BIN)/pytest

test-browser: $(BIN)/.tested  ## the workbench in a real browser; installs Playwright, needs Chromium or Chrome
	$(BIN)/pip install -e '.[test,browser]'
	$(BIN)/pytest -m browser tests/test_browser.py

lab: $(BIN)/.installed  ## JupyterLab on the notebooks
	$(BIN)/jupyter lab notebooks

lint: $(BIN)/.tested  ## ruff: check, and format in place
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Each can be run alone (`make bench-eval REPEATS=3`); records go to outputs/results/bench_*.json.
BENCHES := models video eval data workbench writing start growth
REPEATS ?= 5

bench: $(BENCHES:%=bench-%)  ## all of the following on this machine's CPU; leave the machine alone meanwhile

bench-models: $(BIN)/.installed  ## inference and training beside the plain definition: seconds, share of the matmul rate
bench-video: $(BIN)/.installed  ## clips from mp4, cache, jpgs beside OpenCV and TorchCodec; in order and at random; detect
bench-eval: $(BIN)/.installed  ## the evaluator at AVA's full size: seconds, memory, ratio to a per-frame baseline
bench-data: $(BIN)/.installed  ## annotations at AVA's full size: seconds and memory to read, lint and index them
bench-workbench: $(BIN)/.installed  ## a step of notebook 05's slider: milliseconds, ratio to drawing it anew
bench-writing: $(BIN)/.installed  ## GIF and mp4: seconds and megabytes beside Pillow's and OpenCV's
bench-start: $(BIN)/.installed  ## imports, and what papermill adds to a notebook
bench-growth: $(BIN)/.installed  ## time and memory over clips, people, length of video, classes; a plot
bench-gpu: $(BIN)/.installed  ## training and inference on an NVIDIA GPU beside float32; not part of `bench`

$(BENCHES:%=bench-%) bench-gpu: bench-%:
	$(BIN)/python benchmarks/bench_$*.py --repeats $(REPEATS)

bench-table: $(BIN)/.installed  ## README's table of measurements, from outputs/results/bench_*.json
	$(BIN)/python benchmarks/table.py
	$(BIN)/python benchmarks/estimate.py
