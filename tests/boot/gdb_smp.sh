#!/bin/sh
# The real gdb on two vCPUs: threads, a breakpoint that only the second one reaches, each one's registers, steps of one while the other stands; under
# both kinds of time. The guest goes on to its end afterwards.
# usage: gdb_smp.sh TRINE IMAGE
trine=$1 image=$2
. "$(dirname -- "$0")/lib.sh"
command -v gdb >/dev/null || { echo "gdb is not installed" && exit 77; }
main=0x$(nm "$image" | sed -n 's/^0*\([0-9a-f]*\) . ap_main$/\1/p')

for time in real virtual; do
	rm -f "$work/gdb"
	"$trine" run --kernel "$image" --append "start k=2" --cpus 2 --debug-exit --quiet --max-time 100 --time $time --gdb "unix:$work/gdb" \
		</dev/null >"$work/out" 2>&1 &
	vm=$!
	for _ in $(seq 100); do [ -S "$work/gdb" ] && break; sleep 0.1; done
	cat >"$work/commands" <<-END
		set pagination off
		set confirm off
		set architecture i386:x86-64
		target remote $work/gdb
		info threads
		break *$main
		continue
		printf "thread %d there %d\n", \$_thread, \$rip == $main
		printf "long mode %d\n", (\$efer >> 10) & 1
		set \$ymm3.v8_int32[7] = 0x1234
		set \$xmm3.v4_int32[0] = 7
		printf "vectors %x %d, segments %x %x\n", \$ymm3.v8_int32[7], \$ymm3.v8_int32[0], \$cs, \$ss
		set \$before = \$rip
		thread 1
		printf "first elsewhere %d\n", \$rip != $main
		set \$first = \$rip
		thread 2
		printf "second still there %d\n", \$rip == \$before
		set scheduler-locking on
		stepi
		printf "second stepped %d\n", \$rip != \$before
		thread 1
		printf "first stood %d\n", \$rip == \$first
		set scheduler-locking off
		info threads
		delete
		continue
	END
	timeout 90 gdb -q -nx -batch -x "$work/commands" >"$work/gdb.out" 2>&1
	cat "$work/gdb.out"
	wait "$vm"
	status=$?
	for line in 'thread 2 there 1' 'long mode 1' 'vectors 1234 7, segments 8 10' 'first elsewhere 1' 'second still there 1' 'second stepped 1' 'first stood 1'; do
		grep -qx "$line" "$work/gdb.out" || fail "--time $time: gdb did not say: $line"
	done
	[ "$(grep -c 'vCPU 0' "$work/gdb.out")" -ge 2 ] && [ "$(grep -c 'vCPU 1' "$work/gdb.out")" -ge 2 ] || fail "--time $time: not both threads"
	[ "$status" = 33 ] || fail "--time $time: exit status $status: $(cat "$work/out")"
done
