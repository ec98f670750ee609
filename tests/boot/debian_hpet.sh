#!/bin/sh
# Debian's kernel with the HPET alone: its counter is the clock source, its first timer, in the PIT's place, brings every tick.
# usage: debian_hpet.sh TRINE [OPTION]...
trine=$1
shift
. "$(dirname -- "$0")/lib.sh"
need_debian
debian --pv none "$@" --append "console=ttyS0 trine.script=smoke clocksource=hpet nolapic_timer" --max-time $((100 * slower)) --quiet </dev/null >"$work/out" 2>&1 ||
	{ tail -n 5 "$work/out" && fail "exit status $?"; }
grep -q '^clocksource hpet' "$work/out" || fail "the HPET is not the clock source: $(grep '^clocksource' "$work/out")"
grep -q 'trine-script-exit 0' "$work/out" || fail "the script failed"
