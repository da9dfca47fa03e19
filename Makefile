# procflow: everything that is done with this checkout. `make` alone lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# Debian keeps bpftool and ip where a user's PATH does not look.
export PATH := $(PATH):/usr/sbin:/sbin
# tap, prettier and others ask npm for settings; its remarks about them would only distract.
export npm_config_loglevel := error

CLANG ?= clang
CLANG_FORMAT ?= clang-format
CC := gcc
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo env PATH="$$PATH")

RUN_PACKAGES := clang libbpf-dev libbpf1 iproute2
TEST_PACKAGES := $(RUN_PACKAGES) bpftool llvm clang-format gcc libc6-dev procps nfdump tshark tcpdump ethtool \
	nftables curl python3 netsniff-ng openssl pmacct softflowd iperf3

KERNEL_PACKAGES := qemu-system-x86 busybox-static cpio kmod xz-utils

BPF_OBJECT := build/bpf/procflow.bpf.o
# The same for kernels before 6.2, which lack two functions.
OLDER_BPF_OBJECT := build/bpf/procflow-before-6.2.bpf.o
BPF_FLAGS := -O2 -g -mcpu=v3 -target bpf -Wall -Werror -ffile-prefix-map=$(CURDIR)=. \
	-I/usr/include/$(shell uname -m)-linux-gnu
C_SOURCES := $(wildcard bpf/*.[ch]) $(shell find test bench -name '*.[ch]')
GENERATORS := $(patsubst test/%.c,build/test/%,$(wildcard test/generators/*.c))
BENCH_GENERATORS := $(patsubst bench/%.c,build/bench/%,$(wildcard bench/generators/*.c))
EMPTY_TWIN := build/bench/empty-twin/empty-twin.bpf.o
BENCH_OBJECTS := $(patsubst bench/%.bpf.c,build/bench/%.bpf.o,$(wildcard bench/*/*.bpf.c))
TS_SOURCES := $(shell find $(wildcard src test scripts bench) -name "*.ts")

.PHONY: help install install-run build program run test bench kernels attribution attribution-figures capture-rate \
	fuzz soak check lint lint-code lint-format generate generated-is-fresh format demo clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-19s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: ## what building and testing need: Debian packages and node_modules
	@scripts/install-packages.sh $(TEST_PACKAGES)
	@$(MAKE) -s node_modules/.package-lock.json

install-run:
	@scripts/install-packages.sh $(RUN_PACKAGES)
	@$(MAKE) -s node_modules/.package-lock.json

node_modules/.package-lock.json: package-lock.json
	@scripts/check-node.sh
	@echo 'npm ci: node_modules is missing or older than package-lock.json'
	@npm ci --no-progress >/dev/null
	@touch $@

build: program $(GENERATORS) $(BENCH_GENERATORS) $(EMPTY_TWIN) $(BENCH_OBJECTS) ## compile TypeScript, the BPF object and the traffic generators

program: build/.tsc $(BPF_OBJECT) $(OLDER_BPF_OBJECT)

build/.tsc: $(TS_SOURCES) tsconfig.json node_modules/.package-lock.json
	@echo 'tsc'
	@node node_modules/typescript/bin/tsc
	@touch $@

build/bpf/%.o: bpf/%.c Makefile
	@mkdir -p $(@D)
	@echo 'clang $<'
	@$(CLANG) $(BPF_FLAGS) -MMD -MP -c $< -o $@

$(OLDER_BPF_OBJECT): bpf/procflow.bpf.c Makefile
	@mkdir -p $(@D)
	@echo 'clang $@'
	@$(CLANG) $(BPF_FLAGS) -DWITHOUT_CASTS -MMD -MP -c $< -o $@

-include $(BPF_OBJECT:.o=.d) $(OLDER_BPF_OBJECT:.o=.d)

build/test/generators/%: test/generators/%.c $(wildcard test/generators/*.h) Makefile
	@mkdir -p $(@D)
	@echo '$(CC) $<'
	@$(CC) -O2 -g -Wall -Wextra -Werror -pthread -MMD -MP -o $@ $<

-include $(GENERATORS:=.d)

build/bench/generators/%: bench/generators/%.c test/generators/generator.h Makefile
	@mkdir -p $(@D)
	@echo '$(CC) $<'
	@$(CC) -O2 -g -Wall -Wextra -Werror -pthread -o $@ $<

build/bench/%.bpf.o: bench/%.bpf.c Makefile
	@mkdir -p $(@D)
	@echo 'clang $<'
	@$(CLANG) $(BPF_FLAGS) -MMD -MP -c $< -o $@

-include $(BENCH_OBJECTS:.o=.d)

$(EMPTY_TWIN): $(BPF_OBJECT) bench/empty-twin/empty-twin.sh
	@mkdir -p $(@D)
	@echo 'clang $@'
	@bench/empty-twin/empty-twin.sh $< >$(@:.o=.c)
	@$(CLANG) $(BPF_FLAGS) -c $(@:.o=.c) -o $@

run: install-run ## show live which process talks to whom: IFACE=eth0 (default any), ARGS=--json
	@$(MAKE) -s program
	@$(SUDO) ./bin/procflow live -i $(or $(IFACE),any) $(ARGS)

test: install ## build, check, run all tests; the last line counts them. TESTS=flow for some only
	@$(MAKE) -s -j2 build
	@$(MAKE) -s check
	@node build/scripts/run-tests.js $(TESTS)

bench: install ## what it costs, compared with softflowd and pmacctd, into bench/results: PARTS="traffic start", SHORT=1
	@$(MAKE) -s build
	@$(SUDO) node build/bench/main.js $(if $(SHORT),--short) $(PARTS)

soak: install ## traffic, processes, interfaces and collectors coming and going: MINUTES=10, STATE=directory below bpffs
	@$(MAKE) -s build
	@$(SUDO) node build/bench/soak/main.js $(or $(MINUTES),10) $(STATE)

kernels: install ## boot Debian's kernels under qemu and try programs and traffic there: KERNELS="6.1 6.12"
	@# Until Debian 12 virtiofsd is in a package of qemu's.
	@scripts/install-packages.sh $(KERNEL_PACKAGES) \
		$$(apt-cache show virtiofsd >/dev/null 2>&1 && echo virtiofsd || true)
	@$(MAKE) -s build
	@$(SUDO) node build/test/kernels/run-kernels.js $(KERNELS)

attribution: install ## which process each packet has, case by case against ground truth: CASES=regex, CAPTURE=sockets
	@$(MAKE) -s build
	@$(SUDO) node build/test/attribution/print-table.js '$(CASES)' $(CAPTURE)
	@$(if $(CASES)$(CAPTURE),,$(SUDO) node build/bench/attribution/attribution-cost.js --short)

attribution-figures: install ## measure and write docs/attribution-figures.md: PARTS="rate polling cost"
	@$(MAKE) -s build
	@$(SUDO) node build/bench/attribution/attribution-figures.js $(PARTS)

capture-rate: install ## how many packets of a capture file are metered and exported a second: PACKETS=1200000
	@$(MAKE) -s build
	@$(SUDO) node build/bench/capture-rate/capture-rate.js $(PACKETS)

fuzz: install ## hostile packets, messages, files and words, other ones each time: MINUTES=5, SEED=7, FUZZ="packets names"
	@$(MAKE) -s build
	@$(SUDO) node build/scripts/run-fuzz.js $(or $(MINUTES),5) '$(SEED)' $(FUZZ)

check: install ## linter, formatters, type check, generated files
	@$(MAKE) -s program
	@$(MAKE) -s -j2 --output-sync=target lint-code lint-format generated-is-fresh

lint: build/.tsc
	@$(MAKE) -s -j2 --output-sync=target lint-code lint-format

lint-code: build/.tsc
	@echo 'eslint'
	@node node_modules/eslint/bin/eslint.js --max-warnings 0 .

lint-format: node_modules/.package-lock.json
	@echo 'prettier'
	@node node_modules/prettier/bin/prettier.cjs --check --log-level warn .
	@echo 'clang-format'
	@$(if $(C_SOURCES),$(CLANG_FORMAT) --dry-run -Werror --style=file:bpf/.clang-format $(C_SOURCES))

# $(call write_generated,DIRECTORY): writes all *.gen.ts below that directory.
define write_generated
node build/scripts/generate-contract.js $(BPF_OBJECT) $(1)/src/flow/flow-contract.gen.ts
node build/scripts/generate-elements.js registry $(1)/src/templates/information-elements.gen.ts
endef

generate: install ## rewrite the committed *.gen.ts and what nfdump prints of nfdump-fixtures/
	@# What is generated may be what the compiler misses.
	@node node_modules/typescript/bin/tsc --noEmitOnError false >/dev/null || true
	@$(MAKE) -s $(BPF_OBJECT)
	@$(call write_generated,.)
	@$(MAKE) -s build/.tsc
	@node build/scripts/generate-nfdump-fixtures.js nfdump-fixtures

generated-is-fresh: program
	@echo 'generated files'
	@rm -rf build/fresh && mkdir -p build/fresh/src/flow build/fresh/src/templates
	@$(call write_generated,build/fresh)
	@cd build/fresh && for file in src/*/*.gen.ts; do \
		diff -u --label "$$file as committed" --label "$$file as generated" \
			"../../$$file" "$$file" \
			|| { echo "$$file is stale: run make generate"; exit 1; }; \
	done

format: node_modules/.package-lock.json ## rewrite the sources in the project's format
	@node node_modules/eslint/bin/eslint.js --fix --quiet . >/dev/null || true
	@node node_modules/prettier/bin/prettier.cjs --write --log-level warn .
	@$(if $(C_SOURCES),$(CLANG_FORMAT) -i --style=file:bpf/.clang-format $(C_SOURCES))

demo: install ## export real traffic to nfdump and show which process made it
	@$(MAKE) -s build
	@$(SUDO) scripts/demo.sh

clean: ## remove what the build made
	@rm -rf build .tap
