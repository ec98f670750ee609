#!/bin/sh
# A 64 GiB guest starts, runs and ends without its memory ever being there.
# RAM asks for huge pages, but not in a VM that shares it.
# usage: lazy_memory.sh TRINE HELLO-IMAGE HANG-IMAGE
trine=$1 hang=$3
. "$(dirname -- "$0")/lib.sh"
"$trine" run --kernel "$2" --debug-exit --memory 64G --quiet --max-time 60 --stats "$work/stats" </dev/null
[ $? = 33 ] || fail "it did not run"
expect "guest bytes" == 68719476736 "$(stat_of "$work/stats" guest_bytes)"
expect "resident bytes" '<' 16777216 "$(stat_of "$work/stats" resident_bytes)"
# More than the host has is refused with a line before the guest starts, not left to the host's OOM killer.
host=$(($(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo) / 1024 / 1024 + 1))
"$trine" run --kernel "$2" --debug-exit --memory "${host}G,prealloc" --quiet </dev/null 2>"$work/err"
[ $? = 3 ] || fail "prealloc of ${host}G: exit status not 3"
grep -qxE "trine: memory $((host * 1024))M,prealloc: the host has [0-9]+M left" "$work/err" || fail "prealloc: $(cat "$work/err")"
"$trine" run --kernel "$2" --debug-exit --memory 64M,prealloc --quiet --max-time 60 --stats "$work/stats" </dev/null
[ $? = 33 ] || fail "with prealloc it did not run"
expect "resident bytes with prealloc" '>=' 67108864 "$(stat_of "$work/stats" resident_bytes)"

# WANTED [OPTION]...: has RAM's mapping the flag hg (proc(5), smaps)?
huge() {
	wanted=$1
	shift
	XDG_RUNTIME_DIR=$work "$trine" run --kernel "$hang" --memory 64M --quiet --max-time 60 "$@" </dev/null >/dev/null 2>&1 &
	vm=$!
	for _ in $(seq 200); do # until it runs: its vCPU has a thread
		grep -qs trine-cpu0 /proc/$vm/task/*/comm && break
		sleep 0.05
	done
	flags=$(sed -n '/memfd:trine-ram/,/^VmFlags/s/^VmFlags: //p' /proc/$vm/smaps)
	kill -9 $vm
	wait $vm 2>/dev/null
	case " $flags" in
	" ") fail "no flags of RAM in smaps" ;;
	*" hg "*) [ "$wanted" = yes ] || fail "huge pages with $*" ;;
	*) [ "$wanted" = no ] || fail "no huge pages: $flags" ;;
	esac
}
if [ -e /sys/kernel/mm/transparent_hugepage/shmem_enabled ]; then
	huge yes
	huge no --share lazy
fi
