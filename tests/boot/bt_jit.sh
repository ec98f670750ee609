#!/bin/sh
# A guest that patches its own code page in a loop: what one more patch costs, in translations and interpreted instructions. Where only an immediate changes or
# the versions are few, no translation; nor does data written beside code. A small cache in which versions are evicted. Counts of a long run less those of a short one.
# usage: bt_jit.sh TRINE IMAGE
trine=$1 image=$2
. "$(dirname -- "$0")/lib.sh"
need_engine bt
run() { # TEST N
	"$trine" run --kernel "$image" --debug-exit --memory 64M --quiet --engine bt --append "$1 n=$2" --stats "$work/stats" </dev/null >"$work/out" 2>&1
	[ $? = 33 ] || fail "$1: $(tail -n 3 "$work/out")"
	grep -q "^ok $1.64" "$work/out" || fail "$1: $(cat "$work/out")"
}
more() { # TEST KEY: per iteration, times 1000
	run "$1" 1000
	short=$(stat_of "$work/stats" "$2")
	run "$1" 5000
	echo $((($(stat_of "$work/stats" "$2") - short) / 4))
}
for test in patched_function alternating_function patches_itself; do
	expect "$test: translations per 1000 iterations" '<=' 10 "$(more $test translated)"
	expect "$test: blocks that came back per 1000 iterations" '>=' 990 "$(more $test revived)"
	expect "$test: interpreted instructions per 1000 iterations" '<=' 1100 "$(more $test steps)"
	expect "$test: translated blocks dropped per 1000 iterations" '<=' 3300 "$(more $test flushed)"
done
expect "other immediates per 1000 patches of one" '>=' 990 "$(more patched_function repatched)"
expect "other immediates per 1000 patches of an opcode" '<=' 10 "$(more alternating_function repatched)"
expect "translations per 1000 patches, of 64 versions by turns" '>=' 900 "$(more many_versions translated)" # a few are kept
expect "translations per 1000 writes beside code" '<=' 10 "$(more data_beside_code translated)"
expect "interpreted instructions per 1000 pages of code cleared" '<=' 150000 "$(more cleared_page steps)" # by elements 510,000, as it is a quarter of the times, when a function stays there
expect "interpreted instructions per 1000 writes beside code" '<=' 10 "$(more data_beside_code steps)"
expect "writes beside code in the cache, of 1000" '>=' 990 "$(more data_beside_code beside_code)"
"$trine" run --kernel "$image" --debug-exit --memory 64M --quiet --engine bt --bt-cache 4M --append "patched_among_cold cold=262144" --stats "$work/stats" \
	</dev/null >"$work/out" 2>&1
[ $? = 33 ] && grep -q '^ok patched_among_cold' "$work/out" || fail "$(tail -n 3 "$work/out")"
expect "regions evicted, of four" '>=' 40 "$(stat_of "$work/stats" evictions)"
expect "blocks that came back, of 83,000" '>=' 70000 "$(stat_of "$work/stats" revived)"
