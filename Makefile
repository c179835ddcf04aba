# Everything a developer or a CI job runs. `make` alone lists the targets.
# Cargo, and Go for the test control plane, are all that has to be there; helm is built when missing.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.NOTPARALLEL:
.DEFAULT_GOAL := help

CARGO ?= cargo
DOCKER ?= docker
IMAGE ?= homeostat:dev
NAME ?= default
CHART := charts/homeostat
GENERATED := target/generated

# Programs of ours that other targets run. Built with the tests: alone they would be built with other features of their
# dependencies, and so all of those a second time.
BUILT = $(CARGO) test -q --workspace --locked --no-run

# Asked for on first use, then remembered. Set HELM to use another binary.
CLUSTER = $(BUILT) && target/debug/cluster
tool = $(eval $(1) := $$(shell $(CLUSTER) path $(2)))$(or $($(1)),$(error "$(CLUSTER) path $(2)" gave no path))
HELM ?= $(call tool,HELM,helm)

# Helm tells about the link to the CRDs on every call: drop that line, keep everything else it says.
QUIET = 2> >(grep -v 'found symbolic link in path' >&2 || true)

say = @printf '\n==> %s\n' '$(1)'

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# --- Code ---------------------------------------------------------------------------------------------------------

.PHONY: build
build: ## Build the operator for release
	$(CARGO) build --release --locked

.PHONY: fmt
fmt: ## Format the code
	$(CARGO) fmt --all

.PHONY: lint
lint: ## Check format, clippy and, if cargo-deny is installed, licences, bans and sources
	$(call say,lint)
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	@if $(CARGO) deny --version >/dev/null 2>&1; then \
	  $(CARGO) deny check bans licenses sources; \
	else \
	  echo 'cargo-deny is not installed: licences, bans and sources not checked'; \
	fi

# --- Generated files ----------------------------------------------------------------------------------------------

.PHONY: generate
generate: ## Write crds/ from the types and deploy/install.yaml from the chart
	$(call say,generate)
	rm -rf $(GENERATED)
	mkdir -p $(GENERATED)/crds crds
	$(BUILT)
	target/debug/homeostat crds --output-dir $(GENERATED)/crds
	rm -f crds/*.yaml
	cp $(GENERATED)/crds/*.yaml crds/
	$(call install-yaml,$(GENERATED)/install.yaml)
	cp $(GENERATED)/install.yaml deploy/install.yaml

.PHONY: check-generated
check-generated: ## Fail if a generated file is not what `make generate` would write
	$(call say,check-generated)
	rm -rf $(GENERATED)
	mkdir -p $(GENERATED)/crds
	$(BUILT)
	target/debug/homeostat crds --output-dir $(GENERATED)/crds
	@diff -ru crds $(GENERATED)/crds || { echo 'crds/ is out of date: run make generate'; exit 1; }
	$(call install-yaml,$(GENERATED)/install.yaml)
	@diff -u deploy/install.yaml $(GENERATED)/install.yaml || \
	  { echo 'deploy/install.yaml is out of date: run make generate'; exit 1; }

# Helm's own labels say nothing true about objects that kubectl applies.
define install-yaml
@echo 'render $(1)'
@{ echo '# Generated from $(CHART) by `make generate`; do not edit.'; \
   cat deploy/namespace.yaml; \
   $(HELM) template homeostat $(CHART) --namespace homeostat-system --skip-tests $(QUIET) \
     | sed -e '/^ *helm\.sh\/chart: /d' -e '/^ *app\.kubernetes\.io\/managed-by: Helm$$/d'; \
 } > $(1)
endef

# --- Tests --------------------------------------------------------------------------------------------------------

.PHONY: chart-test
chart-test: ## Lint and render the chart with every values file; refuse bad values and wildcard rights
	$(call say,chart-test)
	@mkdir -p $(GENERATED)
	@for values in $(CHART)/ci/*.yaml; do \
	  echo "lint and render: $$values"; \
	  $(HELM) lint --strict --quiet $(CHART) --values $$values $(QUIET); \
	  $(HELM) template homeostat $(CHART) --namespace homeostat-system --values $$values $(QUIET) >/dev/null; \
	  $(HELM) template homeostat $(CHART) --namespace homeostat-system --values $$values --set crds.enabled=false \
	    $(QUIET) >$(GENERATED)/rendered.yaml; \
	  if grep -nE '^ *((apiGroups|resources|resourceNames|verbs):|-) .*[*]' $(GENERATED)/rendered.yaml; then \
	    echo "a role has a wildcard"; exit 1; \
	  fi; \
	done
	@for values in $(CHART)/ci/refused/*.yaml; do \
	  echo "must be refused: $$values"; \
	  if $(HELM) template homeostat $(CHART) --values $$values >$(GENERATED)/refused.txt 2>&1; then \
	    echo 'the schema accepted it'; exit 1; \
	  fi; \
	  grep -q "don't meet the specifications of the schema" $(GENERATED)/refused.txt || \
	    { cat $(GENERATED)/refused.txt; echo 'refused, but not by the schema'; exit 1; }; \
	done
	@echo 'chart-test: ok'

.PHONY: test
test: lint check-generated chart-test cluster-build ## Everything that must pass before a commit
	$(call say,cargo test)
	$(CARGO) test --workspace --locked

.PHONY: e2e
e2e: ## Only the full stories on a real control plane; STORY=… for some of them
	$(call say,e2e)
	$(CARGO) test --locked --test e2e -- $(STORY)

.PHONY: incidents
incidents: ## The incident suite; DIR=… for other files, ONLY=… for some, BASELINE=none|undo, JSON=file
	$(call say,incidents)
	@$(CARGO) build --locked --example patient
	@ALL=1 DIR='$(DIR)' ONLY='$(ONLY)' BASELINE='$(BASELINE)' JSON='$(JSON)' $(CARGO) test -q --locked --test incidents

# The same files with Homeostat, with Kubernetes alone, and with a script that undoes and restarts.
TABLES ?= homeostat none undo
TITLES = 'homeostat:Homeostat' 'none:Kubernetes alone' 'undo:Undo and restart'

.PHONY: incident-tables
incident-tables: ## Write docs/incidents.md, about 50 minutes; TABLES=… for some, the others as they were run last
	$(call say,incident-tables)
	@$(CARGO) build --locked --example patient
	@mkdir -p target/tables
	@# What is not run again stands in the document.
	@for table in $(TITLES); do \
	   awk -v title="## $${table#*:}" '/^## / {here = $$0 == title} /^```$$/ {text = 0} text; here && /^```text$$/ {text = 1}' \
	     docs/incidents.md >"target/tables/$${table%%:*}"; \
	 done
	@for baseline in $(TABLES); do \
	   { ALL=1 BASELINE=$$baseline $(CARGO) test -q --locked --test incidents || true; } | sed '1{/^$$/d}' \
	     >target/tables/$$baseline.running; \
	   mv target/tables/$$baseline.running target/tables/$$baseline; \
	 done
	@{ sed '/^## Homeostat/,$$d' docs/incidents.md; \
	   for table in $(TITLES); do \
	     printf '## %s\n\n```text\n' "$${table#*:}"; \
	     cat "target/tables/$${table%%:*}"; \
	     printf '```\n\n'; \
	   done; } > target/incidents.md
	@mv target/incidents.md docs/incidents.md

.PHONY: installed
installed: ## Only the operator as pods on real nodes, installed by Helm
	$(call say,installed)
	$(CARGO) build --locked --example patient
	$(CARGO) test --locked --test installed -- --nocapture

.PHONY: test-all
test-all: test incidents demo ## test, all incidents, a longer simulation, and the demo
	HOMEOSTAT_SIMULATIONS=1000 $(CARGO) test --locked --test scenarios simulation
	HOMEOSTAT_EVERY_KILL=1 $(CARGO) test --locked --test e2e -- killed_after

.PHONY: bench-latency
bench-latency: ## Time from fault to first action, measured on a real control plane
	$(CARGO) bench --locked --bench latency

# --- Cluster ------------------------------------------------------------------------------------------------------

.PHONY: cluster-build
cluster-build: ## Build the test control plane and the real nodes into the cache (about 11 minutes, once)
	$(call say,cluster-build)
	@$(CLUSTER) build

.PHONY: cluster-up
cluster-up: ## Start a test cluster on this machine; NAME=… for several, REAL=1 for real nodes
	$(CLUSTER) up --name $(NAME) $(if $(REAL),--real)

.PHONY: cluster-down
cluster-down: ## Stop it, and what was left running with it
	$(CLUSTER) down --name $(NAME)

.PHONY: demo
demo: ## A bad release, and the way back; KEEP=1 leaves the cluster running
	$(call say,build the operator and the demo (minutes the first time))
	@$(CARGO) build --locked -p homeostat --bin homeostat --example patient --example demo; echo "   took $$SECONDS s"
	@$(CARGO) run -q --locked -p homeostat --example demo

# --- Image --------------------------------------------------------------------------------------------------------

.PHONY: image
image: ## Build the image in a container; IMAGE names it
	$(DOCKER) build --target source --tag $(IMAGE) .

# The Dockerfile's other target: no base image and no network, only a static binary that is already there.
HOST_TARGET = $(shell rustc -vV | sed -n 's/^host: //p')
.PHONY: image-prebuilt
image-prebuilt: ## Build the image from a static binary that is built here first
	RUSTFLAGS='-C target-feature=+crt-static' \
	  $(CARGO) build --release --locked --bin homeostat --target $(HOST_TARGET) --target-dir target/static
	mkdir -p target/image
	cp target/static/$(HOST_TARGET)/release/homeostat target/image/homeostat
	$(DOCKER) build --target prebuilt --tag $(IMAGE) .
