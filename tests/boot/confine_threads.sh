#!/bin/sh
# Every thread of a VM has no_new_privs and a filter of its own, on every engine and under both kinds of time; and where io_uring is
# forbidden (by a filter around it all), a disk works by threads, which have theirs too.
# usage: confine_threads.sh TRINE SOURCE-ROOT REFUSE-URING HANG-IMAGE
trine=$1 root=$2 refuse=$3 hang=$4
. "$(dirname -- "$0")/lib.sh"
no_leak_search

truncate -s 4M "$work/disk"
# PID FILTERS: how many threads have not so many; "none" when the process has gone.
loose() {
	cat "/proc/$1/task/"*/status 2>/dev/null | awk -v filters="$2" '/^NoNewPrivs:/ { n++; bad += $2 != 1 }
		/^Seccomp:/ { bad += $2 != 2 } /^Seccomp_filters:/ { bad += $2 != filters } END { print n ? bad + 0 : "none" }'
}
# NAMES WAY COMMAND...: its threads are confined soon, their names are NAMES, its disk goes by WAY.
confined() {
	names=$1 way=$2 filters=1
	[ "$way" != threads ] || filters=2
	shift 2
	"$@" --sandbox on --quiet --disk "$work/disk" --qmp "unix:$work/qmp" --max-time 100 </dev/null >"$work/out" 2>&1 &
	pid=$!
	waited=0
	until [ "$(loose $pid $filters)" = 0 ] && [ "$(cat /proc/$pid/task/*/comm | sort | uniq | tr '\n' ' ')" = "$names " ]; do
		sleep 0.1
		waited=$((waited + 1))
		[ "$waited" -lt $((100 * slower)) ] || {
			grep -E '^(Name|NoNewPrivs|Seccomp|Seccomp_filters):' /proc/$pid/task/*/status
			cat "$work/out"
			kill $pid
			fail "not all threads are confined, or they are not these: $names"
		}
	done
	rings=$(ls -l /proc/$pid/fd | grep -c 'io_uring')
	grep -HE '^(NoNewPrivs|Seccomp|Seccomp_filters):' /proc/$pid/task/*/status | sed "s|.*/task/||; s|/status||"
	kill $pid
	wait $pid
	[ $? = 143 ] || fail "it does not end by SIGTERM as it should: $(cat "$work/out")"
	[ ! -e "$work/qmp" ] || fail "its socket's name is left behind"
	case $way in uring) [ "$rings" = 1 ] ;; *) [ "$rings" = 0 ] ;; esac || fail "$rings rings, and the disk is to go by $way"
}
for engine in $("$trine" engines | sed -n 's/^\([a-z]*\): usable.*/\1/p'); do
	[ "$engine" != auto ] || continue
	echo "engine $engine:"
	confined "trine trine-cpu0 trine-signals" uring "$trine" run --engine "$engine" --kernel "$hang"
	confined "trine trine-cpu0 trine-disk trine-signals" threads "$refuse" "$trine" run --engine "$engine" --kernel "$hang"
	[ "$engine" != interp ] || confined "trine trine-cpu0 trine-cpu1 trine-signals" uring "$trine" run --cpus 2 --engine "$engine" --kernel "$hang"
	[ "$engine" = kvm ] || confined "trine trine-signals" direct "$trine" run --time virtual --engine "$engine" --kernel "$hang"
done

need_debian
command -v mke2fs >/dev/null || { echo "mke2fs is not installed (package e2fsprogs)" && exit 77; }
mkdir "$work/folder"
"$root/tools/mkdisk" "$work/disk" 32M "$work/folder" || fail "mkdisk"
cat >"$work/script" <<'END'
virtio
mount -t ext4 /dev/vda /root && seq 1 100000 >/root/numbers && sync && echo 3 >/proc/sys/vm/drop_caches && echo "read $(md5sum </root/numbers)"
umount /root
END
"$root/tools/guest/extend" "$work/initrd" "$work/script" || exit
"$refuse" "$trine" run --sandbox on --kernel "$cache/vmlinuz" --initrd "$work/initrd" --memory 256M --append "console=ttyS0 loglevel=3 trine.script=script" \
	--disk "$work/disk" --max-time 200 </dev/null >"$work/out" 2>&1
status=$?
tail -n 3 "$work/out"
[ "$status" = 0 ] || fail "exit status $status"
sum=$(seq 1 100000 | md5sum)
tr -d '\r' <"$work/out" | grep -qx "read $sum" || fail "what was written came back otherwise"
e2fsck -fn "$work/disk" || fail "the file system is damaged"
