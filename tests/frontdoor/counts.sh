#!/bin/sh
# tests/run on a build folder of our own, and .ci/run with a make that only counts.
. "$(dirname -- "$0")/lib.sh"

mkdir -p "$area/build/meson-info"
one() { # NAME SUITE SECONDS PARALLEL SCRIPT
	printf '%s{"name": "%s", "suite": ["trine:%s"], "timeout": %s, "is_parallel": %s, "workdir": null, "env": {}, "cmd": ["sh", "-c", "%s"]}' \
		"$comma" "$1" "$2" "$3" "$4" "$5"
	comma=,
}
comma=
{
	printf '['
	one good unit 9 true 'exit 0'
	one better unit 9 false 'exit 0'
	one bad unit 9 true 'echo the reason; exit 3'
	one crash dev 9 true 'kill -SEGV $$'
	one unable dev 9 true 'echo first; echo no kvm here; exit 77'
	one endless dev 1 true 'sleep 98765'
	one orphan dev 9 true 'sleep 98764 & exit 0'
	one large check-boot 9 true 'exit 0'
	printf ']'
} >"$area/build/meson-info/intro-tests.json"
run() {
	status=0
	"$root/tests/run" "$@" "$area/build" </dev/null >"$work/out" 2>"$work/err" || status=$?
}

run --without check-boot
check "counts" ends_with_line "$work/out" "3 passed, 3 failed, 1 skipped"
check "a failure: exit 1" test "$status" = 1
check "a failure's log" grep -qx '    the reason' "$work/out"
check "a skip's reason" grep -qx 'skipped unable: no kvm here' "$work/out"
check "a signal's name" grep -q '^FAILED crash: signal SIGSEGV' "$work/out"
check "a time limit" grep -q '^FAILED endless: over its time limit' "$work/out"
check "nothing is left running" sh -c '! grep -lsE "^sleep.9876[45]" /proc/[0-9]*/cmdline'
run --suite check-boot
check "one suite" ends_with_line "$work/out" "1 passed, 0 failed, 0 skipped"
check "none failed: exit 0" test "$status" = 0
run --match good --match unable
check "by name" ends_with_line "$work/out" "1 passed, 0 failed, 1 skipped"
run --suite nothing
check "no test" ends_with_line "$work/out" "0 passed, 0 failed, 0 skipped"

run --end "$(date +%s)"
check "no time: all skipped" ends_with_line "$work/out" "0 passed, 0 failed, 8 skipped"
check "no time: by name" grep -qx 'skipped good: no time left' "$work/out"
first() { TRINE_TEST_SEED=$1 run --jobs 1 --end "$(date +%s)" && head -n 1 "$work/out"; }
seeds=$(for seed in a b c d e f; do first $seed; done | sort -u | wc -l)
check "no time: not the same one each time" test "$seeds" -gt 1
check "the same seed, the same order" test "$(first a)" = "$(first a)"
run --end $(($(date +%s) + 2)) --match endless --slower 100
check "cut off: skipped" grep -q '^skipped endless: no time left, cut off' "$work/out"

# .ci/run, where make prints what $work/TARGET says and its last line is the exit status.
mkdir -p "$area/.ci" "$area/tools"
cp "$root/.ci/run" "$area/.ci/run"
printf '#!/bin/sh\nexit $(cat "$TRINE_TEST_WORK/deps")\n' >"$area/tools/deps"
chmod +x "$area/tools/deps"
host_programs sh dirname mktemp rm date timeout cat tee sed tail cut awk env head
fake make <<'EOF2'
sed '$d' "$TRINE_TEST_WORK/$1"
read -r line && echo "make read: $line"
exit "$(tail -n 1 "$TRINE_TEST_WORK/$1")"
EOF2
ci() { # CHECK-LINE STATUS
	printf 'x\n%s\n%s\n' "$1" "$2" >"$work/check"
	for target in check-boot check-kvm-nested check-portable; do printf '1 passed, 0 failed, 2 skipped\n0\n' >"$work/$target"; done
	try "$area/.ci/run" </dev/null
}
echo 0 >"$work/deps"
ci "10 passed, 0 failed, 1 skipped" 0
check "ci: total" ends_with_line "$work/out" "13 passed, 0 failed, 7 skipped"
check "ci: exit 0" test "$status" = 0
check "ci: no standard input" sh -c '! grep -q "make read" "$1"' - "$work/out"
ci "10 passed, 2 failed, 1 skipped" 2
check "ci, failures: total" ends_with_line "$work/out" "13 passed, 2 failed, 7 skipped"
check "ci, failures: exit 1" test "$status" = 1
ci "10 passed, 0 failed, 1 skipped" 2
check "ci, failing without a failure: counts one" ends_with_line "$work/out" "13 passed, 1 failed, 7 skipped"
ci "does not build" 2
check "ci, does not build: counts one" ends_with_line "$work/out" "3 passed, 1 failed, 6 skipped"
check "ci, does not build: exit 1" test "$status" = 1
echo 3 >"$work/deps"
ci "10 passed, 0 failed, 1 skipped" 0
check "ci, packages not to be had: exit 1" test "$status" = 1
check "ci, packages not to be had: total" ends_with_line "$work/out" "0 passed, 1 failed, 0 skipped"
finish
