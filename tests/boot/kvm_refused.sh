#!/bin/sh
# A /dev/kvm that cannot be used, or refuses in the middle: one line says why, nothing crashes, `auto` takes another engine; and the probe
# is honest about a /dev/kvm with no hardware behind it.
# usage: kvm_refused.sh TRINE DOUBLE IMAGE
trine=$1 double=$2 image=$3
. "$(dirname -- "$0")/lib.sh"
[ -z "${TRINE_SANITIZED-}" ] || { echo "a sanitizer must be loaded before the double" && exit 77; }
[ -r /dev/kvm ] && [ -w /dev/kvm ] || { echo "no /dev/kvm here" && exit 77; }

# The loader splits LD_PRELOAD at blanks, and the build's path may have some.
cp "$double" "$work/double.so" && double=$work/double.so

refused() { # HOW STATUS TEXT
	LD_PRELOAD=$double TRINE_KVM_DOUBLE=$1 "$trine" run --engine kvm --kernel "$image" --debug-exit --memory 64M --quiet </dev/null >"$work/out" 2>"$work/err"
	status=$?
	[ "$status" = "$2" ] || fail "$1: exit status $status, not $2: $(cat "$work/err")"
	grep -q "^trine: engine kvm: $3" "$work/err" || fail "$1: $(cat "$work/err")"
	[ "$(wc -l <"$work/err")" = 1 ] || fail "$1: more than one line: $(cat "$work/err")"
}
refused open 4 '/dev/kvm: Permission denied'
refused api 4 '/dev/kvm: API version 11, not 12'
# Each that docs/kvm.md says Linux 5.14 has: numbers of the kernel's interface.
for cap in 3:USER_MEMORY 81:READONLY_MEM 136:IMMEDIATE_EXIT 74:SYNC_REGS 41:VCPU_EVENTS 50:DEBUGREGS 55:XSAVE 56:XCRS 200:SREGS2 \
	188:X86_USER_SPACE_MSR 189:X86_MSR_FILTER 61:GET_TSC_KHZ; do
	refused "cap ${cap%:*}" 4 "/dev/kvm: the kernel lacks KVM_CAP_${cap#*:}"
done
# What the local APICs in the kernel need: without it they are the machine's, with a word, or, asked for, refused.
for cap in 121:SPLIT_IRQCHIP 129:X2APIC_API 77:SIGNAL_MSI 25:IRQ_ROUTING 14:MP_STATE 72:TSC_DEADLINE_TIMER; do
	for kind in kernel ''; do
		LD_PRELOAD=$double TRINE_KVM_DOUBLE="cap ${cap%:*}" "$trine" run --engine kvm ${kind:+--irqchip $kind} --kernel "$image" --debug-exit --memory 64M </dev/null >"$work/out" 2>"$work/err"
		status=$?
		[ "$status" = $([ "$kind" ] && echo 4 || echo 33) ] || fail "irqchip ${kind:-left open} without ${cap#*:}: exit status $status: $(cat "$work/err")"
		grep -q "^trine: engine kvm: irqchip ${kind:-user}: /dev/kvm: the kernel lacks KVM_CAP_${cap#*:}\$" "$work/err" || fail "irqchip ${kind:-left open} without ${cap#*:}: $(cat "$work/err")"
	done
	LD_PRELOAD=$double TRINE_KVM_DOUBLE="cap ${cap%:*}" "$trine" run --engine kvm --irqchip user --kernel "$image" --debug-exit --memory 64M --quiet </dev/null >"$work/out" 2>"$work/err"
	[ $? = 33 ] && [ ! -s "$work/err" ] || fail "irqchip user needs ${cap#*:}: $(cat "$work/err")"
done
"$trine" run --engine interp --irqchip kernel --kernel "$image" --debug-exit --quiet </dev/null >"$work/out" 2>"$work/err"
[ $? = 2 ] || fail "irqchip kernel of engine interp: exit status not 2"
grep -q '^trine: irqchip kernel: engine interp has none$' "$work/err" || fail "irqchip kernel of engine interp: $(cat "$work/err")"
for option in '--gdb 127.0.0.1:0' '--trace exec'; do
	# shellcheck disable=SC2086
	"$trine" run --engine kvm --irqchip kernel $option --kernel "$image" --debug-exit --quiet </dev/null >"$work/out" 2>"$work/err"
	[ $? = 2 ] || fail "irqchip kernel with $option: exit status not 2"
	grep -q '^trine: irqchip kernel: .* executes on the interpreter, which needs --irqchip user$' "$work/err" || fail "irqchip kernel with $option: $(cat "$work/err")"
done
refused split 3 'irqchip kernel: KVM_CAP_SPLIT_IRQCHIP: Cannot allocate memory'

refused vm 3 'KVM_CREATE_VM: Cannot allocate memory'
refused slot 3 'guest memory: KVM_SET_USER_MEMORY_REGION: Cannot allocate memory'
refused size 3 'KVM_GET_VCPU_MMAP_SIZE: 64 bytes'
refused filter 3 'KVM_X86_SET_MSR_FILTER: Cannot allocate memory'
refused run 3 'vCPU 0: KVM_RUN: Bad address'
refused vcpu 3 'KVM_CREATE_VCPU: Cannot allocate memory'
refused cpuid 3 'KVM_SET_CPUID2: Cannot allocate memory'

# What KVM cannot run, the interpreter does, an instruction at a time.
for how in internal sregs; do
	LD_PRELOAD=$double TRINE_KVM_DOUBLE=$how "$trine" run --engine kvm --kernel "$image" --debug-exit --memory 64M --quiet --max-time 60 --stats "$work/stats" \
		</dev/null >"$work/out" 2>"$work/err"
	[ $? = 33 ] || fail "$how: the guest does not come to its end: $(cat "$work/err")"
	[ ! -s "$work/err" ] || fail "$how: $(cat "$work/err")"
	expect "instructions on the interpreter, $how" '>=' 1900 "$(stat_of "$work/stats" steps)"
done

for how in open api 'cap 136' vm slot vcpu; do
	LD_PRELOAD=$double TRINE_KVM_DOUBLE=$how "$trine" engines >"$work/engines" || fail "trine engines, $how: exit status $?"
	grep -q '^kvm: not usable: ' "$work/engines" || fail "trine engines, $how: $(cat "$work/engines")"
	! grep -q '^auto: kvm' "$work/engines" || fail "auto takes it, $how"
done

"$trine" engines >"$work/engines"
grep '^kvm' "$work/engines"
if ! grep -qE '^flags.* (vmx|svm)( |$)' /proc/cpuinfo; then
	grep -q '^kvm: not usable: no hardware behind /dev/kvm: .*million instructions per second' "$work/engines" || fail "it is taken for hardware"
	! grep -q '^auto: kvm' "$work/engines" || fail "auto takes it"
	"$trine" run --engine kvm --kernel "$image" --debug-exit --memory 64M </dev/null >"$work/out" 2>"$work/err"
	[ $? = 33 ] || fail "--engine kvm does not run: $(cat "$work/err")"
	grep -q '^trine: engine: kvm (warning: no hardware behind /dev/kvm' "$work/err" || fail "no warning: $(cat "$work/err")"
fi
