# A short door to CMake and the tools. Everything is built under build/.
JOBS   ?= 2
PREFIX ?= /usr/local

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

demo: release ## build drmad and tune learning rates and L2 penalties on MNIST
	@tools/demo

release: packages ## build/release: library and command
	@[ -x build/release/drmad ] || echo "building drmad in build/release: a minute or two" >&2
	@cmake --preset release >build/configure.log 2>&1 || { cat build/configure.log; exit 1; }
	@ninja --quiet -C build/release -j $(JOBS)

packages:
	@mkdir -p build
	@tools/install-packages build

check: ## all tests, reduced counts, at most 15 minutes on 2 cores
	@tools/install-packages check
	@tools/run-tests

check-long: ## all tests, full counts; writes build/results/check-long-DATE.json
	@tools/install-packages check
	@DRMAD_LONG=1 tools/run-tests

check-oom: ## only the tests that fail each allocation in turn
	@tools/run-tests --stage release --match 'test_oom('

check-alloc: ## only the tests that count allocations after planning
	@tools/run-tests --stage release --match allocates_nothing

wheel: packages ## the Python package: build/dist/drmad-VERSION-...whl
	@tools/python-env
	@tools/build-wheel

bench: release ## the benchmark lines; writes build/results/bench-DATE.json
	@tools/run-bench

bench-bo: release ## the long campaign of bench/bo: peers of the tuners, then ours, then the tables
	@tools/bo-env
	@nice python3 bench/bo/campaign.py peers
	@nice python3 bench/bo/campaign.py ours
	@nice python3 bench/bo/campaign.py held-ours
	@python3 bench/bo/table.py

format: ## clang-format over all sources
	clang-format -i $$(git ls-files '*.c' '*.h')

install: release ## into PREFIX (/usr/local)
	cmake --install build/release --prefix $(DESTDIR)$(PREFIX)

.PHONY: help demo release packages check check-long check-oom check-alloc wheel bench bench-bo format install
