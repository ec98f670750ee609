#!/bin/sh
# Hardware virtualization's own semantics: Debian's kernel in QEMU's TCG, whose processor has AMD-V, loads kvm-amd; inside it
# `trine run --engine kvm` runs guests of guest/. TRINE_NESTED_GUESTS="NAME:STATUS..." names others; with nested paging also
# Debian's kernel through the smoke script to its end (TRINE_NESTED_KERNEL=shell, or =init: up to /init; empty: none).
# TRINE_NESTED_OPTIONS="OPTION..." goes to `trine run` (left open: with shadow paging, --irqchip user); TRINE_NESTED_SHOW=1 shows what the guests print.
# usage: nested.sh TRINE GUESTS NPT [switch | all | costs], with GUESTS a folder and NPT 1 (nested paging) or 0 (KVM's shadow paging)
# switch: instead, a guest and Debian's kernel move between kvm, interp and bt, every pair, and come to the same end.
# all: instead, every guest that tests something, compared line by line with the interpreter; the differences are those of nested.known.
# costs: instead, a table: rows of bench/guest in the machine itself and in Debian on kvm inside it, and reads of a virtio disk.
trine=$1 guests=$2 npt=$3 cpu=max
switch=$([ "$4" = switch ] && echo switch) all=$([ "$4" = all ] && echo all) costs=$([ "$4" = costs ] && echo costs)
. "$(dirname -- "$0")/lib.sh"
root=$(cd -- "$(dirname -- "$0")/../.." && pwd)
[ -z "${TRINE_SANITIZED-}" ] || { echo "a sanitized monitor is too slow for a processor that QEMU emulates" && exit 77; }
command -v qemu-system-x86_64 >/dev/null || { echo "qemu-system-x86_64 is not installed" && exit 77; }
need_debian
options=${TRINE_NESTED_OPTIONS-$([ "$npt$all" = 1 ] || echo --irqchip user)}
if [ -n "$switch" ]; then
	# QEMU 7.2 executes IRETQ of CPL 3 (bt's code has some) with the kernel's rights: with SMAP it faults on its own stack.
	list= kernel= cpu=max,-smap
elif [ -n "$costs" ]; then
	list= kernel= NESTED_ROWS=$(dirname -- "$trine")/bench/suite-rows
	export NESTED_ROWS
elif [ -n "$all" ]; then
	list=${TRINE_NESTED_GUESTS-hello hypercall spin triple poweroff translation strings smc fpu lock msrs deviations avx pkeys doorbell ports smp modes exceptions \
		debug interrupts segments paging smm machine_check audit}
	kernel= TRINE_NESTED_SHOW=1
else
	list=${TRINE_NESTED_GUESTS-hello:33 hypercall:33 spin:33 triple:1 poweroff:0 fpu:33 lock:33 deviations:33 smp:33}
	kernel=${TRINE_NESTED_KERNEL-$([ "$npt" = 0 ] || echo shell)}
fi
names=$(for guest in $list; do echo "${guest%:*}"; done)
"$root/tools/guest/nested" "$work/initramfs" "$trine" "$guests" $names ${switch:+spin} || exit $?
qemu-system-x86_64 -accel tcg -cpu $cpu -m 1024 -display none -monitor none -serial "file:$work/log" -no-reboot -kernel "$cache/vmlinuz" \
	-initrd "$work/initramfs" </dev/null -append "console=ttyS0 quiet mitigations=off trine.script=nested nested.npt=$npt \
nested.guests=$(echo $list | tr ' ' ,) nested.kernel=$kernel nested.switch=$switch nested.costs=$costs nested.show=$TRINE_NESTED_SHOW nested.options=$(echo $options | tr ' ' ,)" &
qemu=$!
trap 'kill $qemu 2>/dev/null; rm -rf "$work"' EXIT
if [ -n "$all" ]; then # meanwhile, the other side
	. "$root/tools/guest/nested-options"
	mkdir "$work/interp" "$work/kvm"
	for guest in $names; do
		# shellcheck disable=SC2046
		"$trine" run --engine interp --kernel "$guests/$guest.elf" --debug-exit --memory 64M --quiet --append "$words" $(guest_options "$guest") \
			</dev/null >"$work/interp/$guest.out" 2>&1
		printf '\nexit %s\n' $? >>"$work/interp/$guest.out"
	done
fi
wait $qemu
if [ -n "$all" ]; then
	for guest in $names; do
		sed -n "s/^shown $guest: //p; s/^nested $guest: \([0-9]*\) .*/exit \1/p" "$work/log" | tr -d '\r' >"$work/kvm/$guest.out"
	done
	grep '^nested' "$work/log"
	# shellcheck disable=SC2086
	python3 "$root/tests/boot/nested_compare.py" "${TRINE_NESTED_KNOWN-$root/tests/boot/nested.known}" "$npt" "$work/interp" "$work/kvm" $names
	exit
fi
if [ -n "$costs" ]; then
	echo "npt=$npt: row, ns a unit in the machine, in its guest, times"
	tr -d '\r' <"$work/log" | awk '/^nested (outer|guest) row/ { ns = $6 / $5; k = $2 " " $4; if (!(k in best) || ns < best[k]) best[k] = ns; row[$4] }
		/^nested exits/ { print } END { for (r in row) { o = best["outer " r]; g = best["guest " r]; print r, o ? sprintf("%.0f", o) : "-", sprintf("%.0f", g), o ? sprintf("%.2f", g / o) : "-" } }'
	grep -q 'nested guest row disk-4k' "$work/log" || fail "the guest does not come to its end: $(tail -n 5 "$work/log")"
	exit
fi
grep -v '^# .*KNOWN' "$work/log" | tail -n 300
grep -q '^nested engines: kvm: usable' "$work/log" || fail "the engine does not find the hardware"
grep -q '^nested engines: auto: kvm' "$work/log" || fail "auto does not take it"
for guest in $list; do
	grep -q "^nested ${guest%:*}: ${guest#*:} " "$work/log" || fail "guest ${guest%:*}: $(grep "^nested ${guest%:*}:" "$work/log" || echo "no result")"
done
if [ -n "$switch" ]; then
	grep -q '^nested switch_guest: *"switches": 6,' "$work/log" && grep -q '^nested switch_guest: 33 ' "$work/log" || fail "spin does not come to its end"
	grep -q '^nested switch_kernel: *"switches": 8,' "$work/log" && grep -q '^nested switch_kernel: 0 ' "$work/log" || fail "the kernel does not come to its end"
fi
[ -z "$kernel" ] || grep -q '^nested kernel: 0 ' "$work/log" || fail "the kernel: $(grep '^nested kernel' "$work/log" || echo "no result")"
grep -q 'trine-script-exit 0' "$work/log" || fail "the script in the outer machine failed"
