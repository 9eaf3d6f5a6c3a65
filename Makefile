# make demo   the whole product once, on embedded data
# make test   the whole test suite          make check   lint, types, dependency directions
# Needs Python 3.11.5 or later with headers, pip and venv, and a C++ compiler; the rest is installed into .venv from
# constraints.txt.
PYTHON ?= python3.11
BIN := .venv/bin
EXTRAS := .[train,pipeline,imagenet,video,dev]
DEMO := runs/demo

.PHONY: demo test test-container check lock clean

demo: .venv/installed
	test -d $(DEMO)/data || $(BIN)/efficientdet demo-data --output $(DEMO)/data
	$(BIN)/efficientdet-pipeline run --config pipeline/configs/demo.yaml --summary $(DEMO)/summary.json
	$(BIN)/efficientdet models --registry runs/registry
	$(BIN)/efficientdet pull digits@champion --registry runs/registry --format tflite --output $(DEMO)/model
	$(BIN)/efficientdet infer --model $(DEMO)/model/model.tflite --input $(DEMO)/data/eval --output $(DEMO)/detections
	@echo
	@echo "data        $(DEMO)/data            summary     $(DEMO)/summary.json"
	@echo "model       $(DEMO)/model           detections  $(DEMO)/detections (JSON and pictures)"
	@echo "registry    runs/registry           TensorBoard $(BIN)/tensorboard --logdir runs"

test: .venv/installed
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# Builds the image and runs a compiled pipeline in it, half an hour; CONTRIBUTING.md says what it needs.
test-container: .venv/installed
	$(BIN)/python -m pytest -m container tests/pipeline/test_run_container.py

check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The stamp is written last, so an interrupted install starts again. uv, unlike pip, installs TFX 1.16 on
# Python 3.11 (docs/decisions/0002-versions.md); its own version is pinned with the rest.
.venv/installed: setup.py constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python .venv --constraint constraints.txt --editable '$(EXTRAS)'
	touch $@

# Resolves the newest set that fits setup.py and pins it.
lock:
	rm -rf .venv
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python .venv --editable '$(EXTRAS)'
	$(BIN)/uv pip freeze --python .venv --exclude-editable | grep -v '^pip==' > constraints.txt
	touch .venv/installed

clean:
	rm -rf .venv runs build *.egg-info
