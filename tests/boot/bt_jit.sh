#!/bin/sh
# A guest that patches its own code page in a loop: what one more patch costs, in translations and interpreted instructions; and data written beside
# code costs no translation. Counts of a long run less those of a short one.
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
expect "translations per 1000 patches of a function" '<=' 1100 "$(more patched_function translated)"
expect "translations per 1000 patches of a function" '>=' 900 "$(more patched_function translated)"
expect "translations per 1000 patches of the loop itself" '<=' 3300 "$(more patches_itself translated)"
expect "translations per 1000 writes beside code" '<=' 10 "$(more data_beside_code translated)"
expect "interpreted instructions per 1000 pages of code cleared" '<=' 150000 "$(more cleared_page steps)" # by elements 510,000, as it is a quarter of the times, when a function stays there
expect "interpreted instructions per 1000 writes beside code" '<=' 10 "$(more data_beside_code steps)"
expect "writes beside code in the cache, of 1000" '>=' 990 "$(more data_beside_code beside_code)"
for test in patched_function patches_itself; do
	expect "$test: interpreted instructions per 1000 iterations" '<=' 1100 "$(more $test steps)"
	expect "$test: translated blocks dropped per 1000 iterations" '<=' 3300 "$(more $test flushed)"
done
