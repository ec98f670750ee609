# The front door. Everything behind it is meson, ninja and the scripts in tools/; `make help` lists what there is.

.DEFAULT_GOAL := build
.PHONY: oracle torture memory-soak build deps run check check-asan check-boot check-kvm-nested check-kvm-guests check-portable bench bench-memory asan fuzz tsan format clean help fuzz-bt

# Suites that have a target of their own; `make check` runs all the others.
OWN_SUITES := check-boot check-kvm-nested check-kvm-guests check-portable
RUN_TESTS = tests/run $(if $(TESTS),$(TESTS:%=--match %))

build:
	@tools/build build

deps:
	@tools/deps

run: deps
	@tools/build build
	@tools/guest/prepare
	@tools/run

check: deps
	@tools/build build
	@tools/guest/prepare || echo "tests that boot Debian's kernel will be skipped" >&2
	@tools/guest/foreign || echo "tests that boot other kernels will be skipped" >&2
	@$(RUN_TESTS) $(OWN_SUITES:%=--without %) build

check-portable: DEPS = base test guest aarch64
$(OWN_SUITES):
	@tools/deps $(DEPS)
	@tools/build build
	@tools/guest/prepare || echo "tests that boot Debian's kernel will be skipped" >&2
	@$(RUN_TESTS) --suite $@ build

# gcc's warnings are partly wrong under sanitizers, as its manual says; the other builds hold the sources to them. At -O2 the vector handlers
# take it minutes each.
asan:
	@tools/build build-asan -Dwerror=false -Doptimization=1 -Db_sanitize=address,undefined

# What UBSan finds is a line on standard error otherwise, and no test fails.
check-asan: deps asan
	@tools/guest/prepare || echo "tests that boot Debian's kernel will be skipped" >&2
	@tools/guest/foreign || echo "tests that boot other kernels will be skipped" >&2
	@UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 $(RUN_TESTS) --slower 6 $(OWN_SUITES:%=--without %) build-asan

fuzz:
	@tools/fuzz

tsan:
	@tools/tsan

# N cases (default 100 million) from SEED; the same command goes on where it stopped.
SEED ?= 1
oracle: build
	@nice build/tests/isa/test-oracle --seed $(SEED) --state build/oracle-$(SEED).state $(or $(N),100000000)

# Load for MINUTES on an engine, in pieces whose results bench/results/torture.jsonl keeps: the next call goes on.
torture: build
	@tools/torture --minutes $(or $(MINUTES),60) $(TORTURE)

# Random pages under sharing, ballooning and paging for MINUTES, in pieces whose results bench/results/memory-soak.jsonl keeps: the next call goes on.
memory-soak: build
	@tools/guest/prepare
	@tools/memory-soak --minutes $(or $(MINUTES),60) $(SOAK)

bench-memory: build
	@tools/guest/prepare
	@bench/memory $(BENCH)

# Random and hostile code on the translator and on the interpreter, until BLOCKS translations in all; bench/results/bt-fuzz.state keeps how far it came.
fuzz-bt: build
	@build/tests/unit/test-bt_fuzz $(CODE:%=--code %) --state bench/results/bt-fuzz$(CODE:%=-%).state --blocks $(or $(BLOCKS),10000000) --minutes $(or $(MINUTES),0)

bench: build
	@tools/guest/prepare
	@tools/guest/userland || echo "the suite's rows of Debian's programs will be left out" >&2
	@bench/run $(BENCH)
	@bench/suite $(SUITE)
	@bench/io $(IO)

format:
	@tools/deps --check format
	@find include src guest tests -name '*.[ch]' -exec clang-format -i {} +

clean:
	@rm -rf build build-asan build-fuzz build-tsan build-aarch64

help:
	@sed -n 's/^#: //p' Makefile

#: make              builds build/trine; installs nothing, names what is missing
#: make deps         installs the Debian packages that are missing (exit status of tools/deps: 3 if it cannot)
#: make run          builds, prepares a Debian guest, boots it to a shell; without a terminal, a scripted session
#: make check        builds, runs the tests; the last line is their count (TESTS="NAME..." for some of them)
#: make check-boot, check-kvm-nested, check-portable   the long tests of these names; check-portable cross-compiles for 64-bit Arm
#: make check-kvm-guests   every guest of guest/ on kvm in QEMU, line by line as on the interpreter, but for named differences (5 to 20 min)
#: make asan         builds build-asan, with AddressSanitizer and UBSan; make check-asan also runs the tests on it
#: make oracle       compares the interpreter with this CPU: N=100000000 SEED=1, resumable (docs/oracle.md)
#: make torture      stress-ng and compilations in Debian for MINUTES=60, checked; resumable (TORTURE="OPTION...": tools/torture --help)
#: make memory-soak  guests that check every page they wrote, in a group that shares, balloons and pages, for MINUTES=60; resumable (SOAK="OPTION...")
#: make fuzz-bt      the translator against the interpreter, random and hostile code, to BLOCKS=10000000 translations; resumable (MINUTES=N: so long; CODE=32 or 64: that alone)
#: make fuzz         fuzzes each target for FUZZ_SECONDS (60) with libFuzzer (needs clang)
#: make tsan         runs guests with several vCPUs under ThreadSanitizer
#: make bench-memory what a guest's memory costs the host: docs/memory.md (BENCH="PART...")
#: make bench        the same guest and script in Trine, QEMU and Bochs, those that are installed: a table and a JSON file (BENCH="OPTION...");
#:                   then the guest suite, natively too (SUITE="OPTION..."), then disk and network (IO="OPTION..."): bench/README.md
#: make format       clang-format over the sources
#: make clean        removes the build folders (the guest's cache is ~/.cache/trine)
