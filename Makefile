# The short commands. `make help` lists them.
#   MODEL=slowfast_r50   another model of the zoo          DATASET=mini   another data set
#   MINUTES=8            of training in `demo`; MINUTES=None: all epochs of the recipe
#   EXISTING=continue    continue a training with other settings in the folder; EXISTING=new: keep it and start a new one
#   MODELS="slowfast_r50 *_ak*"   for `zoo`, names and patterns, instead of the seven of MMAction2 v0.10.0; MODELS="*": all
#   CHECKPOINT=published   evaluate only, in `zoo`
#   TORCH=cpu            PyTorch's CPU-only wheels       PYTHON=…       the Python that makes .venv

MODEL   ?= slowonly_r50
DATASET ?= mini
MODELS  ?=
CHECKPOINT ?=
MINUTES ?= 8
EXISTING ?= stop
TORCH   ?= default
PYTHON  ?= python3
VENV    ?= .venv
LOWEST  := .venv-lowest

BIN    := $(VENV)/bin
BENCHES := models zoo video detect eval data workbench writing start growth
REPEATS ?= 5

.PHONY: help install demo zoo grid test test-all test-deep test-lowest test-browser lab lint bench bench-models bench-runtimes bench-video bench-detect bench-eval bench-data bench-workbench bench-zoo bench-writing bench-start bench-growth check-gpu bench-table
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

# A notebook runs when its parameters, its code or what it reads has changed, whatever the dates of the files say; a
# failed one is left as *.failed.ipynb, traceback inside.
demo: $(BIN)/.installed  ## mini-AVA, train MODEL, score it, draw the GIF: notebooks 01 to 05, headless
	@$(BIN)/avalib zoo --first-notebook 01_prepare_data --models $(MODEL) --dataset $(DATASET) --minutes $(MINUTES) --existing $(EXISTING)

zoo: MINUTES := 7
zoo: $(BIN)/.installed  ## seven models, or MODELS: trained MINUTES (7), evaluated, drawn, compared: notebook 06; a second call resumes
	$(BIN)/avalib zoo --dataset $(DATASET) --minutes $(MINUTES) --existing $(EXISTING) \
	  $(if $(MODELS),--models $(foreach model,$(MODELS),'$(model)')) $(if $(CHECKPOINT),--checkpoint $(CHECKPOINT))

grid: $(BIN)/.installed  ## the same ten seconds by every model that has been evaluated on DATASET, as one GIF
	$(BIN)/python tools/draw_zoo_gif.py --dataset $(DATASET)

$(BIN)/.tested: pyproject.toml | $(BIN)/.installed
	$(BIN)/pip install -e '.[test]'
	touch $@

test: $(BIN)/.tested  ## the quick tests: about two minutes on two cores
	$(BIN)/ruff check .
	$(BIN)/pytest

test-all: $(BIN)/.tested  ## all tests but the browser's and the deep ones: notebooks, processes, export, mutated files; what CI runs
	$(BIN)/ruff check .
	$(BIN)/pytest -m "not browser and not deep"

test-deep: $(BIN)/.tested  ## the recorded outputs of every network in float64 and in training mode: half an hour or more
	$(BIN)/pytest -m deep

test-lowest:  ## the quick tests with the lowest versions that pyproject.toml allows, in .venv-lowest; PYTHON=python3.13
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/pip install uv
	$(LOWEST)/bin/uv pip install --python $(LOWEST)/bin/python --resolution lowest-direct --only-binary :all: \
	  -r pyproject.toml --extra test
	$(LOWEST)/bin/uv pip install --python $(LOWEST)/bin/python --no-deps -e .
	$(LOWEST)/bin/python -m pytest

test-browser: $(BIN)/.tested  ## the workbench and web pages in a real browser; installs Playwright, needs Chromium or Chrome
	$(BIN)/pip install -e '.[test,browser]'
	$(BIN)/pytest -m browser tests/draw

# From the repository's root, so that outputs/ can be opened too; as root (in a container) Jupyter asks for the option.
# Notebooks are saved without outputs, and with them as a copy in outputs/runs/notebooks/: git stays clean.
lab: $(BIN)/.installed  ## JupyterLab on the notebooks and what they write
	JUPYTER_CONFIG_PATH=tools/jupyter$${JUPYTER_CONFIG_PATH:+:$$JUPYTER_CONFIG_PATH} $(BIN)/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) \
	  --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/notebooks/01_prepare_data.ipynb

lint: $(BIN)/.tested  ## ruff: check, and format in place
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Each can be run alone (`make bench-eval REPEATS=3`); records go to outputs/benchmarks/bench_*.json.
bench: $(BENCHES:%=bench-%)  ## all of the following but bench-runtimes, on this machine's CPU; leave the machine alone meanwhile

bench-models: $(BIN)/.installed  ## inference and training beside the plain definition: seconds, share of the matmul rate
bench-runtimes: $(BIN)/.installed  ## inference beside onnxruntime and OpenVINO; pip install onnxruntime openvino first
bench-video: $(BIN)/.installed  ## clips from mp4, cache, jpgs beside OpenCV and TorchCodec; in order and at random; detect
bench-detect: $(BIN)/.installed  ## people and actions in a video: the person detector, the action network, the whole
bench-eval: $(BIN)/.installed  ## the evaluator at AVA's full size: seconds, memory, ratio to a per-frame baseline
bench-data: $(BIN)/.installed  ## annotations at AVA's full size: seconds and memory to read, lint and index them
bench-workbench: $(BIN)/.installed  ## a step of notebook 05's slider: milliseconds, ratio to drawing it anew
bench-zoo: $(BIN)/.installed  ## a clip in each model of the zoo: milliseconds, FLOPs, parameters; for docs/models.md and notebook 06
bench-writing: $(BIN)/.installed  ## GIF and mp4: seconds and megabytes beside Pillow's and OpenCV's
bench-start: $(BIN)/.installed  ## imports, and what papermill adds to a notebook
bench-growth: $(BIN)/.installed  ## time and memory over clips, people, length of video, classes; a plot

$(BENCHES:%=bench-%) bench-runtimes: bench-%:
	$(BIN)/python benchmarks/bench_$*.py --repeats $(REPEATS)

# Without a .venv, on a machine that has torch: python benchmarks/check_gpu.py. GPU_OPTIONS="--sections c d --minutes 5"
check-gpu: $(BIN)/.installed  ## an NVIDIA GPU: right numbers, trainings, speed, memory, what limits them; stops after 7.5 minutes
	$(BIN)/python benchmarks/check_gpu.py $(GPU_OPTIONS)

bench-table: $(BIN)/.installed  ## the tables of docs/benchmarks.md and docs/models.md, from outputs/benchmarks/
	$(BIN)/python benchmarks/table.py
	$(BIN)/python benchmarks/estimate.py
	$(BIN)/python tools/update_pages.py
