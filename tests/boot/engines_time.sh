#!/bin/sh
# The probe, with its guest that is timed, takes no time that a person notices: `trine engines` in under 50 ms, the best of ten.
# usage: engines_time.sh TRINE
trine=$1
. "$(dirname -- "$0")/lib.sh"
best=
for i in 1 2 3 4 5 6 7 8 9 10; do
	start=$(date +%s%N)
	"$trine" engines >"$work/out" || fail "exit status $?"
	ns=$(($(date +%s%N) - start))
	[ -n "$best" ] && [ "$ns" -ge "$best" ] || best=$ns
done
grep '^kvm' "$work/out"
expect "microseconds of trine engines" '<' $((50000 * slower)) $((best / 1000))
