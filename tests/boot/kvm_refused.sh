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
refused cap 4 '/dev/kvm: the kernel lacks KVM_CAP_IMMEDIATE_EXIT'
refused vm 3 'KVM_CREATE_VM: Cannot allocate memory'
refused slot 3 'guest memory: KVM_SET_USER_MEMORY_REGION: Cannot allocate memory'
refused vcpu 3 'KVM_CREATE_VCPU: Cannot allocate memory'
refused cpuid 3 'KVM_SET_CPUID2: Cannot allocate memory'

for how in open api cap vm slot vcpu; do
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
