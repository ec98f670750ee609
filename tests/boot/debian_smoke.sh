#!/bin/sh
# Debian's kernel to /init, a script in its userland, power-off with status 0: nothing used that is not built, a small monitor, no mitigations.
# usage: debian_smoke.sh TRINE [ENGINE]
trine=$1
engine=${2-auto}
. "$(dirname -- "$0")/lib.sh"
need_debian
debian --engine "$engine" --append "console=ttyS0 trine.script=smoke" --max-time $((300 * slower)) --stats "$work/stats" </dev/null >"$work/out" 2>"$work/err"
status=$?
tail -n 30 "$work/out"
cat "$work/err" "$work/stats"
[ "$status" = 0 ] || fail "exit status $status"
tr -d '\r' <"$work/out" | grep -qx trine-smoke-ok || fail "no marker"
[ "$(stat_of "$work/stats" end)" = poweroff ] || fail "it did not power off"
expect "instructions not built" == 0 "$(stat_of "$work/stats" unbuilt)"
for cost in tlb_misses page_walks write_protection; do
	for figure in count ns; do
		expect "$cost: $figure" '>' 1000 "$(sed -n "/\"$cost\"/,/}/s/.*\"$figure\": \([0-9]*\).*/\1/p" "$work/stats")"
	done
done
# A sanitizer's own memory counts too; the budget holds for the plain build. What the translator keeps: docs/bt.md, Memory.
case $(stat_of "$work/stats" engine) in
bt)
	budget=100663296
	expect "faults of translated code" '<' 20 "$(stat_of "$work/stats" host_faults)"
	expect "those that are not the guest's" == 0 "$(stat_of "$work/stats" stray_faults)"
	;;
*) budget=33554432 ;;
esac
[ -n "${TRINE_SANITIZED-}" ] || expect "monitor bytes" '<' $budget "$(stat_of "$work/stats" monitor_bytes)"
tr -d '\r' <"$work/out" | grep '^vulnerability' | grep -vE 'Not affected|Enhanced|usercopy' >"$work/bad"
[ ! -s "$work/bad" ] || { cat "$work/bad" && fail "the kernel works around flaws of the CPU model"; }
