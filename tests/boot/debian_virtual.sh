#!/bin/sh
# The same boot twice under --time virtual: the same output, instruction count and final state; another seed gives another state.
# usage: debian_virtual.sh TRINE
trine=$1
. "$(dirname -- "$0")/lib.sh"
need_debian
once() { # NAME SEED
	debian --append "console=ttyS0 trine.script=smoke" --time virtual --seed "$2" --max-time $((300 * slower)) --stats "$work/$1.stats" \
		</dev/null >"$work/$1.out" 2>"$work/$1.err" || fail "run $1: exit status $?"
	echo "run $1: $(stat_of "$work/$1.stats" guest_instructions) instructions, state $(stat_of "$work/$1.stats" state_hash)"
}
once a 1
once b 1
once c 2
same() { [ "$(stat_of "$work/a.stats" "$1")" = "$(stat_of "$work/$2.stats" "$1")" ]; }
cmp "$work/a.out" "$work/b.out" || fail "the output differs"
same guest_instructions b || fail "the instruction counts differ"
same state_hash b || fail "the final states differ"
! same state_hash c || fail "the seed does not matter"
