#!/bin/sh
# The trace: each channel says what a guest is known to do, as text and as JSON; nothing changes in the guest; wrong channels, a full disk.
# usage: trace.sh TRINE GUESTS
trine=$1 guests=$2
. "$(dirname -- "$0")/lib.sh"
run() { # WANTED-STATUS OPTION...
	want=$1
	shift
	"$trine" run --memory 64M --debug-exit --quiet --time virtual "$@" </dev/null >"$work/out" 2>"$work/err"
	status=$?
	[ $status = "$want" ] || fail "$*: exit status $status, not $want: $(tail -n 3 "$work/err")"
}
has() { # PATTERN
	grep -q -- "$1" "$work/trace" || fail "no '$1' in the trace: $(head -n 5 "$work/trace")"
}
all=exec,int,exception,mmu,io,mmio,irq,exit,block
run 33 --kernel "$guests/hello.elf" --stats "$work/plain"
run 33 --kernel "$guests/hello.elf" --stats "$work/traced" --trace "$all" --trace-file "$work/trace"
for key in guest_instructions state_hash; do
	[ "$(stat_of "$work/plain" $key)" = "$(stat_of "$work/traced" $key)" ] || fail "$key is another with a trace"
done
expect "instructions traced" == "$(stat_of "$work/plain" guest_instructions)" "$(grep -c ' exec ' "$work/trace")"
has '^[0-9]* cpu0 exec 0x[0-9a-f]*: fa cli$'
has ' cpu0 io write 0xf4 size [14] data 0x10$'
has ' cpu0 exit pio$'
has ' cpu0 block 0x'
run 33 --kernel "$guests/exceptions.elf" --trace int,exception,mmu --trace-file "$work/trace"
has ' cpu0 exception vector 13 at 0x[0-9a-f]*, error 0x'
has ' cpu0 int 0x[0-9a-f]*: vector 48$'
has ' cpu0 mmu cr3 0x'
grep -q ' exec ' "$work/trace" && fail "exec was not asked for"
run 33 --kernel "$guests/interrupts.elf" --trace irq,mmio --trace-file "$work/trace"
has ' cpu0 irq vector '
has ' cpu0 mmio write 0xfee'
run 33 --kernel "$guests/hello.elf" --trace "json,$all" --trace-file "$work/trace"
python3 -c 'import json, sys
for line in open(sys.argv[1]):
    d = json.loads(line)
    assert d["channel"] in sys.argv[2].split(",") and d["count"] >= 0, line' "$work/trace" "$all" || fail "a line is no JSON object"
run 33 --kernel "$guests/hello.elf" --trace io
grep -q '^[0-9]* cpu0 io write' "$work/err" || fail "nothing on standard error"

run 2 --kernel "$guests/hello.elf" --trace io,cpu
grep -qx 'trine: trace cpu: no such channel' "$work/err" || fail "$(cat "$work/err")"
run 3 --kernel "$guests/hello.elf" --trace io --trace-file "$work/none/x"
grep -q "^trine: $work/none/x: No such file" "$work/err" || fail "$(cat "$work/err")"
run 3 --kernel "$guests/exceptions.elf" --trace exec --trace-file /dev/full
grep -q '^trine: /dev/full: ' "$work/err" && [ "$(wc -l <"$work/err")" = 1 ] || fail "full disk: $(cat "$work/err")"
run 3 --kernel "$guests/hello.elf" --trace irq,io --trace-file /dev/full
grep -q '^trine: /dev/full: ' "$work/err" || fail "full disk at the end: $(cat "$work/err")"
