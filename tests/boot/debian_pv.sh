#!/bin/sh
# Debian's kernel finds KVM's clock and takes it as its clock source until it trusts the TSC; with --pv none it finds nothing, and boots too.
# usage: debian_pv.sh TRINE
trine=$1
. "$(dirname -- "$0")/lib.sh"
need_debian
once() { # NAME TRINE-OPTIONS KERNEL-WORDS
	debian $2 --append "console=ttyS0 trine.script=smoke $3" --max-time 120 --quiet </dev/null >"$work/$1" 2>&1 || fail "$1: exit status $?"
	grep -q 'trine-script-exit 0' "$work/$1" || fail "$1: the script failed"
}
once kvm "" ""
grep -q 'Hypervisor detected: KVM' "$work/kvm" || fail "KVM is not detected"
grep -q 'clocksource: Switched to clocksource kvm-clock' "$work/kvm" || fail "kvm-clock is not taken"
once chosen "" "clocksource=kvm-clock"
grep -q '^clocksource kvm-clock' "$work/chosen" || fail "kvm-clock does not stay: $(grep '^clocksource' "$work/chosen")"
once none "--pv none" ""
! grep -q kvm-clock "$work/none" || fail "--pv none shows a kvm-clock"
