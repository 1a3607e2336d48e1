# Two commands matter: `make demo` and `make test`. Each does all its own set-up.
SHELL := /bin/bash
.DEFAULT_GOAL := help
export PYTHON
BIN := .venv/bin
# Tests and lint never write bytecode warnings or pick up the user's own site packages.
export PYTHONNOUSERSITE := 1

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: ## the whole product on this machine, on real input; Ctrl-C stops it
	@scripts/setup.sh demo
	@exec $(BIN)/python -m demo $(DEMO_ARGS)

test: ## lint, types and every test
	@scripts/setup.sh test
	@$(MAKE) --no-print-directory -j2 --output-sync lint check-lab
	@$(MAKE) --no-print-directory check-python

lint: ## format, lint, types, import rules, shell scripts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/shellcheck -x scripts/*.sh deploy/swarm/*.sh images/*.sh images/*/*.sh images/bundle/bin/* images/*/samepage-agent images/*/samepage-start images/*/samepage-lab .ci/run
	$(BIN)/hadolint --failure-threshold warning images/*/Dockerfile

check-lab: ## lint and unit tests of the JupyterLab extension
	cd labext/lab && PATH="$(CURDIR)/$(BIN):$$PATH" npm run --silent lint && PATH="$(CURDIR)/$(BIN):$$PATH" npm test --silent

check-python: ## unit, integration and browser tests
	@# Browser and process tests can be late on a busy machine. R names every test that needed
	@# a second look, so that one which does so often is noticed and mended.
	@# Three workers also on two cores: much of the time is spent waiting for something to start.
	$(BIN)/python -m pytest -n 3 --dist loadgroup --no-loadscope-reorder --reruns 2 -raR $(PYTEST_ARGS)

format: ## rewrite the sources in the house's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	cd labext/lab && npm run --silent lint:fix

bench: ## every benchmark (two hours or so); rewrites docs/benchmarks/
	@scripts/setup.sh bench
	$(BIN)/python -m benchmarks.server_start
	$(BIN)/python -m benchmarks.kernel_start
	$(BIN)/python -m benchmarks.agent_cost
	$(BIN)/python -m benchmarks.proxy
	$(BIN)/python -m benchmarks.course_pull
	$(BIN)/python -m benchmarks.course_rush
	$(BIN)/python -m benchmarks.gpu_tick
	$(BIN)/python -m benchmarks.gpu_decide
	$(BIN)/python -m benchmarks.gpu_extender
	$(BIN)/python -m benchmarks.gpu_sharing
	$(BIN)/python -m benchmarks.memory
	$(BIN)/python -m benchmarks.memory_pace
	$(BIN)/python -m benchmarks.memory_charges
	$(BIN)/python -m benchmarks.memory_r
	$(BIN)/python -m benchmarks.soak
	$(BIN)/python scripts/sizing_page.py

screenshots: ## rewrite the pictures in docs/
	@scripts/setup.sh test
	$(BIN)/python -m tests.browser.screenshots

settings: ## rewrite docs/settings.md from the settings themselves
	PYTHONPATH=. $(BIN)/python scripts/settings_page.py
	$(BIN)/python scripts/course_schema.py

sizing: ## rewrite the measured numbers of docs/sizing.md
	$(BIN)/python scripts/sizing_page.py

manifests: ## rewrite daemonset.yaml, the kustomize overlays and the Helm chart from deploy/kustomize/base
	PYTHONPATH=. $(BIN)/python scripts/manifests.py

dashboards: ## rewrite the Grafana dashboards of deploy/dashboards
	$(BIN)/python -m scripts.dashboards

dashboard-pictures: ## rewrite their pictures in docs/images; needs root and prometheus, takes 3 minutes
	@scripts/setup.sh test
	$(BIN)/python -m scripts.dashboards.picture

wheel: ## dist/*.whl and *.tar.gz
	@scripts/setup.sh test
	SAMEPAGE_ARRAYS=require $(BIN)/python -m build

pins: ## write the digests and checksums of images/pins.env; needs internet, and skopeo, podman or docker
	@scripts/pins.sh

images: ## the four container images, with podman or docker; IMAGE_ARGS go to each images/build.sh
	@for image in nodeagent singleuser bundle hub; do images/build.sh $$image $(IMAGE_ARGS) || exit; done

sbom: ## bills of materials (CycloneDX) of the built images, into dist/
	@scripts/sbom.sh

constraints: ## rewrite constraints.txt from what is installed in .venv
	@{ echo "# Versions that the tests passed with; rewritten by \`make constraints\`."; \
	  $(BIN)/python -m pip freeze --exclude-editable --exclude pip --exclude setuptools; } > constraints.txt

clean: ## everything that was built or installed here
	@# podman keeps its store mounted on itself.
	@awk -v here="$(CURDIR)/.cache/" 'index($$2, here) == 1 {print $$2}' /proc/mounts | sort -r | xargs -r umount
	rm -rf .venv .demo .cache dist build labext/labextension labext/kernels/aligned/arrays-*.so* labext/lab/lib labext/lab/node_modules *.egg-info

.PHONY: help demo test lint check-lab check-python format bench screenshots settings sizing manifests dashboards dashboard-pictures wheel pins images sbom constraints clean
