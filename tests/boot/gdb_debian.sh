#!/bin/sh
# The real gdb on Debian's kernel: a breakpoint at a symbol, steps, a watched variable, an interrupt, detaching; then the guest goes on to
# its end. The symbols come out of the guest's own /proc/kallsyms.
# usage: gdb_debian.sh TRINE
trine=$1
. "$(dirname -- "$0")/lib.sh"
need_debian
command -v gdb >/dev/null || { echo "gdb is not installed" && exit 77; }
symbols='do_sys_openat2|jiffies|linux_banner'
printf 'grep -E " (%s)$" /proc/kallsyms\npoweroff\n' "$symbols" |
	debian --append "console=ttyS0 nokaslr quiet" --max-time 120 --quiet >"$work/symbols.out" 2>&1
tr -d '\r' <"$work/symbols.out" |
	sed -n 's/^\([0-9a-f]\{16\}\) [A-Za-z] \([a-z_0-9]*\)$/.globl \2; .set \2, 0x\1/p' >"$work/symbols.s"
cat "$work/symbols.s"
[ "$(wc -l <"$work/symbols.s")" = 3 ] || { cat "$work/symbols.out" && fail "not the three symbols"; }
gcc -c -o "$work/symbols.o" "$work/symbols.s" || fail "no symbol file"

debian --append "console=ttyS0 nokaslr trine.script=smoke" --max-time 250 --gdb "unix:$work/gdb" --stats "$work/stats" \
	</dev/null >"$work/out" 2>"$work/err" &
vm=$!
for _ in $(seq 100); do [ -S "$work/gdb" ] && break; sleep 0.1; done
cat >"$work/commands" <<END
set pagination off
set confirm off
symbol-file $work/symbols.o
target remote $work/gdb
break *(char *)&do_sys_openat2
continue
printf "stopped %d\n", \$rip == (unsigned long)&do_sys_openat2
printf "long mode %d\n", (\$cr0 >> 31) & (\$efer >> 10) & 1
x/s &linux_banner
stepi
printf "stepped %d\n", \$rip != (unsigned long)&do_sys_openat2
delete
watch *(unsigned long *)&jiffies
set \$before = *(unsigned long *)&jiffies
continue
printf "watched %d\n", *(unsigned long *)&jiffies > \$before
maintenance packet Qqemu.PhyMemMode:1
maintenance packet m100000,4
maintenance packet Qqemu.PhyMemMode:0
info threads
delete
detach
END
timeout 120 gdb -q -nx -batch -x "$work/commands" >"$work/gdb.out" 2>&1
cat "$work/gdb.out"
wait "$vm"
status=$?
cat "$work/err"
for line in 'stopped 1' 'long mode 1' 'stepped 1' 'watched 1'; do
	grep -qx "$line" "$work/gdb.out" || fail "gdb did not say: $line"
done
grep -q 'Linux version' "$work/gdb.out" || fail "no banner"
grep -q 'Hardware watchpoint' "$work/gdb.out" || fail "no watchpoint"
grep -q 'vCPU 0, CPL 0' "$work/gdb.out" || fail "no thread's state"
[ "$status" = 0 ] || fail "exit status $status"
tr -d '\r' <"$work/out" | grep -qx trine-smoke-ok || fail "the guest did not go on after the debugger had left"
