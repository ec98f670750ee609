#!/bin/sh
# Hardware virtualization's own semantics: Debian's kernel in QEMU's TCG, whose processor has AMD-V, loads kvm-amd; inside it
# `trine run --engine kvm` runs guests of guest/. TRINE_NESTED_GUESTS="NAME:STATUS..." names others; with nested paging also
# Debian's kernel, up to /init (TRINE_NESTED_KERNEL=init, or =shell: through the smoke script; empty: none).
# usage: nested.sh TRINE GUESTS NPT, with GUESTS a folder and NPT 1 (nested paging) or 0 (KVM's shadow paging)
trine=$1 guests=$2 npt=$3
. "$(dirname -- "$0")/lib.sh"
root=$(cd -- "$(dirname -- "$0")/../.." && pwd)
[ -z "${TRINE_SANITIZED-}" ] || { echo "a sanitized monitor is too slow for a processor that QEMU emulates" && exit 77; }
command -v qemu-system-x86_64 >/dev/null || { echo "qemu-system-x86_64 is not installed" && exit 77; }
need_debian
list=${TRINE_NESTED_GUESTS-hello:33 hypercall:33 spin:33 triple:1}
kernel=${TRINE_NESTED_KERNEL-$([ "$npt" = 0 ] || echo init)}
names=$(for guest in $list; do echo "${guest%:*}"; done)
"$root/tools/guest/nested" "$work/initramfs" "$trine" "$guests" $names || exit $?
qemu-system-x86_64 -accel tcg -cpu max -m 1024 -display none -monitor none -serial "file:$work/log" -no-reboot -kernel "$cache/vmlinuz" \
	-initrd "$work/initramfs" </dev/null -append "console=ttyS0 quiet mitigations=off trine.script=nested nested.npt=$npt \
nested.guests=$(echo $list | tr ' ' ,) nested.kernel=$kernel" &
qemu=$!
trap 'kill $qemu 2>/dev/null; rm -rf "$work"' EXIT
wait $qemu
grep -v '^# .*KNOWN' "$work/log" | tail -n 80
grep -q '^nested engines: kvm: usable' "$work/log" || fail "the engine does not find the hardware"
grep -q '^nested engines: auto: kvm' "$work/log" || fail "auto does not take it"
for guest in $list; do
	grep -q "^nested ${guest%:*}: ${guest#*:} " "$work/log" || fail "guest ${guest%:*}: $(grep "^nested ${guest%:*}:" "$work/log" || echo "no result")"
done
[ -z "$kernel" ] || grep -q '^nested kernel: 0 ' "$work/log" || fail "the kernel: $(grep '^nested kernel' "$work/log" || echo "no result")"
grep -q 'trine-script-exit 0' "$work/log" || fail "the script in the outer machine failed"
