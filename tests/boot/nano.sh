#!/bin/sh
# The nanobenchmarks' guest: every figure is there, and the halves of each switch, on every engine; without the test device no stamps are claimed.
# usage: nano.sh TRINE IMAGE
trine=$1 image=$2
. "$(dirname -- "$0")/lib.sh"
for engine in $("$trine" engines | sed -n 's/^\([a-z]*\): usable$/\1/p'); do
	"$trine" run --engine "$engine" --kernel "$image" --testdev --pv none --debug-exit --memory 64M --quiet --max-time 60 </dev/null | tr -d '\r' >"$work/out"
	for name in syscall in cr8wr callret pgfault divzero ptemod pio mmio cpuid hypercall hlt; do
		grep -qE "^nano $name [0-9]+\.[0-9]{2}$" "$work/out" || fail "$engine: no $name: $(cat "$work/out")"
	done
	for name in pio mmio hlt hypercall pgfault divzero; do
		[ "$engine" = kvm ] && [ $name = hypercall ] && continue # there the hardware has VMCALL, whatever CPUID says
		grep -qE "^part $name [0-9]+ [0-9]+$" "$work/out" || fail "$engine: no halves of $name: $(cat "$work/out")"
	done
	for name in nothing pio mmio hlt hypercall pgfault divzero cpuid flush; do
		grep -qE "^walk $name [1-9][0-9]*$" "$work/out" || fail "$engine: no walk behind $name: $(cat "$work/out")"
	done
	# A TLB that was flushed costs, whoever runs it.
	expect "$engine: flushed walk, quiet walks" '>' 1 "$(awk '$2 == "flush" { f = $3 } $2 == "nothing" { n = $3 } END { print f / n }' "$work/out")"
done
"$trine" run --engine interp --kernel "$image" --debug-exit --memory 64M --quiet --max-time 60 </dev/null | grep -qE '^part (pio|mmio)' && fail "a stamp without the test device"
exit 0
