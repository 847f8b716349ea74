# `make demo` and `make test` do all their own set-up on a Debian or Ubuntu machine that has Rust.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help build install uninstall demo test fuzz lint policies openapi docs dashboards clean setup test-tools

CARGO ?= cargo

help: ## Show this
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-10s %s\n", $$1, $$2 }'

build: setup ## Build bin/ffrtmp
	$(CARGO) build --release --locked -p ffrtmp
	@mkdir -p bin
	@install -m 755 target/release/ffrtmp bin/ffrtmp

install: ## Install what was built, with services for systemd (as root; starts nothing)
	@scripts/install.sh install

uninstall: ## Remove it, but for settings and data
	@scripts/install.sh uninstall

demo: build ## Transcode a clip on a cluster of its own, swapping the scheduling policy while it runs
	@scripts/demo.sh

# One test more than there are CPUs: most wait, for processes and clocks.
test: setup test-tools lint ## Run every test, with real parts
	@rm -f target/again.log
	export PATH="$$PWD/target/tools/bin:$$PATH"; \
		RUST_TEST_THREADS=$$(( $$(nproc) + 1 )) $(CARGO) test --workspace --release --locked --no-fail-fast 2>&1 | tee target/test.log || \
		{ scripts/test-failures.sh target/test.log; scripts/test-again.sh target/test.log target/again.log; }
	@scripts/test-count.sh target/test.log target/again.log

fuzz: setup ## Damaged policies and wild answers for a minute each, then 10,000 swaps under load
	FFRTMP_FUZZ_FROM=$$(shuf -n 1 -i 0-4000000000) FFRTMP_FUZZ_SECONDS=60 $(CARGO) test --release --locked --workspace -- no_answer_whatever a_policy_that_skips a_damaged_policy
	FFRTMP_SWAPS=10000 $(CARGO) test --release --locked --workspace -- --nocapture ten_thousand_swaps

# One profile for everything, so that wasmtime is compiled once.
lint: setup ## Check formatting and lints
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --release --locked -- -D warnings

policies: setup ## Build the bundled policies' .wasm files from their sources
	$(CARGO) run --release --locked --manifest-path policies/build/Cargo.toml

openapi: setup ## Write docs/openapi.json anew from the routes
	FFRTMP_WRITE_OPENAPI=1 $(CARGO) test --locked -p ffrtmp-host --lib the_document_that_is_checked_in

docs: build ## Write docs/CLI.md and docs/METRICS.md anew from the commands and the metrics
	bin/ffrtmp reference > docs/CLI.md.new
	mv docs/CLI.md.new docs/CLI.md
	bin/ffrtmp reference --metrics > docs/METRICS.md.new
	mv docs/METRICS.md.new docs/METRICS.md

dashboards: ## Write dashboards/*.json anew from dashboards/source
	python3 dashboards/source/build.py

clean: ## Remove everything that was built
	$(CARGO) clean
	rm -rf bin

setup:
	@scripts/setup.sh

test-tools:
	@scripts/test-tools.sh
