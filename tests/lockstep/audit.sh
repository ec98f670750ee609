#!/bin/sh
# trine audit: all engines do what the manual demands; what the bare CPU does; planted mistakes are seen, and only they; bad input.
# usage: audit.sh TRINE-FAULTY GUESTS
trine=$1 guests=$2
. "$(dirname -- "$0")/../boot/lib.sh"
audit() { # WANTED-STATUS OPTION...
	want=$1
	shift
	"$trine" audit "$@" </dev/null >"$work/out" 2>"$work/err"
	status=$?
	[ $status = "$want" ] || fail "audit $*: exit status $status, not $want: $(tail -n 20 "$work/out" "$work/err")"
}
has() { grep -qE -- "$1" "$work/out" || fail "no '$1' in: $(tail -n 15 "$work/out")"; }

engines=$("$trine" engines | sed -n 's/^\(interp\|bt\|kvm\): usable$/\1/p' | paste -sd,)
audit 0 --engines "$engines"
has '^all agree$'
for name in SGDT SIDT SLDT SMSW STR PUSHF POPF LAR LSL VERR VERW 'MOV from CS' 'MOV to ES' 'far JMP' 'far CALL' 'far RET' 'INT n' IRET \
	CPUID RDTSC RDPMC XGETBV CLI STI HLT LGDT LIDT LLDT LTR LMSW CLTS 'MOV to CR0' 'MOV from CR3' 'MOV to DR7' RDMSR WRMSR INVLPG INVD \
	WBINVD IN OUT INS OUTS SYSEXIT; do
	for mode in 16 32 64; do
		for ring in 0 3; do
			has "^\\| $mode \\| $ring \\| $name \\|"
		done
	done
done
for name in SYSCALL SYSRET SWAPGS RDFSBASE WRGSBASE 'MOV to CR8' RDTSCP RDPID RDPKRU WRPKRU; do
	has "^\\| 64 \\| 0 \\| $name \\|"
done
# POPF of a user program leaves IF alone, and says nothing.
has '^\| 64 \| 3 \| POPF \| done: 200 \| done: 200 \|'
has '^\| 64 \| 3 \| CLI \| #GP\(0\) \| #GP\(0\) \|'
has '^interp: equivalence: ([0-9]+) of \1 cases'
has '^interp: resource control: ([0-9]+) of \1 accesses'
has '^interp: efficiency: 0.0 % .* unchanged'
if [ "$(uname -m)" = x86_64 ]; then
	# One that is privileged, and the famous ones that are not; SYSCALL gets past any monitor.
	has '^\| 64 \| 0 \| CLI \|.*\| traps: #GP \|$'
	has '^\| 64 \| 0 \| POPF \|.*\| silently does something else: 200 \|$'
	has '^\| 64 \| 0 \| SGDT \|.*\| reveals the host: '
	has "^\\| 64 \\| 0 \\| SYSCALL \\|.*\\| enters the host's kernel \\|\$"
	has '^\| 32 \| 0 \| MOV from CS \|.*\| reveals the host: 23 \|$'
	grep -q '^SGDT, .*POPF' "$work/out" || fail "no list of what is sensitive and not privileged"
	grep -qE '^(.*, )?(CLI|HLT|LGDT)(,|\.)' "$work/out" && fail "a privileged instruction is called unprivileged"
fi

# Mistakes of an engine, against the manual and against another engine.
audit 1 --engines interp-smsw --differences
has '^they differ$'
has '^\| 16 \| 0 \| SMSW \| done: 11 \| DIFFERS: done: 10 \|'
[ "$(grep -c DIFFERS "$work/out")" = 1 ] || fail "more than one row: $(grep DIFFERS "$work/out")"
audit 1 --engines interp,interp-popf --differences
has '^\| 16 \| 3 \| POPF \| done: 200 \| done: 200 \| emulated \| [0-9.]+ \| DIFFERS: done: 0 \|'
[ "$(grep -c DIFFERS "$work/out")" = 1 ] || fail "more than one row: $(grep DIFFERS "$work/out")"

# The shares of another guest.
audit 0 --engines interp --kernel "$guests/spin.elf" --debug-exit --memory 64M
has 'looks at 2[0-9]{8} instructions'

refused() { # STATUS PATTERN OPTION...
	want=$1 pattern=$2
	shift 2
	audit "$want" "$@"
	[ "$(wc -l <"$work/err")" = 1 ] || fail "audit $*: not one error line: $(cat "$work/err")"
	grep -q "^trine: .*$pattern" "$work/err" || fail "audit $*: $(cat "$work/err")"
}
refused 2 'no such engine' --engines interp,nothing
refused 4 'here to be refused' --engines interp-never
refused 2 'none given' --engines ,
refused 2 'needs a value' --engines
refused 2 'bogus' --bogus
refused 3 'No such file' --engines interp --kernel "$work/none"
"$trine" audit --engines interp >/dev/full 2>"$work/err" </dev/null
[ $? = 3 ] && grep -q '^trine: standard output: ' "$work/err" || fail "full disk: $(cat "$work/err")"
exit 0
