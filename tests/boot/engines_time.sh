#!/bin/sh
# The probe, with its guest that is timed, takes no time that a person notices: `trine engines` takes under 50 ms of the processor's time, the mean of
# ten. (By the clock a busy machine would count too.)
# usage: engines_time.sh TRINE
trine=$1
. "$(dirname -- "$0")/lib.sh"
# Milliseconds of the processor that this shell's children took so far.
children() {
	times >"$work/times"
	sed -n 's/[ms]/ /g; 2p' "$work/times" | awk '{ print int(($1 * 60 + $2 + $3 * 60 + $4) * 1000) }'
}
children >"$work/before" # in this shell: a subshell has no children yet
for i in 1 2 3 4 5 6 7 8 9 10; do
	"$trine" engines >"$work/out" || fail "exit status $?"
done
children >"$work/after"
grep '^kvm' "$work/out"
expect "milliseconds of trine engines, ten times" '<' $((500 * slower)) $(($(cat "$work/after") - $(cat "$work/before")))
