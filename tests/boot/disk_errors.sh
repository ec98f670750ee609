#!/bin/sh
# What the host cannot do is an I/O error to the guest, and everything goes on: a full file system (and one that has room again), a limit
# on files' sizes, a file cut short, an NBD server whose disk is full, one whose disk cannot be read.
# usage: disk_errors.sh TRINE SOURCE-ROOT [LIBRARY]
# LIBRARY is preloaded: it refuses io_uring, so that all goes by threads.
trine=$1 root=$2 library=${3-}
. "$(dirname -- "$0")/lib.sh"
need_debian
[ -z "$library" ] || [ -z "${TRINE_SANITIZED-}" ] || { echo "a sanitizer must be loaded before the double" && exit 77; }
command -v qemu-nbd >/dev/null || { echo "qemu-nbd is not installed (package qemu-utils)" && exit 77; }
if [ -z "${TRINE_IN_NAMESPACE-}" ]; then # where a file system of our own can be mounted
	flags=-m
	[ "$(id -u)" = 0 ] || flags=-rm
	unshare $flags true 2>/dev/null || { echo "no mount namespace: unshare $flags is refused here" && exit 77; }
	rm -rf "$work"
	TRINE_IN_NAMESPACE=1 exec unshare $flags sh "$0" "$@"
fi
small=$work/small
mkdir "$small" && mount -t tmpfs -o size=6m trine "$small" || { echo "no tmpfs can be mounted here" && exit 77; }
servers=
trap 'kill $servers 2>/dev/null; umount "$small"; rm -rf "$work"' EXIT

cat >"$work/errors" <<'END'
virtio
# NAME DISK MIB: a mebibyte of ones is written there, or read.
put() { tr '\0' 1 </dev/zero | dd of=/dev/$2 bs=1M count=1 iflag=fullblock oflag=direct seek=$3 conv=notrunc 2>/tmp/why && echo "$1 works" || echo "$1 fails: $(sed -n 's/^dd: //p' /tmp/why)"; }
get() { dd if=/dev/$2 bs=1M count=1 iflag=direct skip=$3 2>/tmp/why | md5sum | cut -c 1-8 >/tmp/sum; grep -q '^dd: ' /tmp/why && echo "$1 fails: $(sed -n 's/^dd: //p' /tmp/why)" || echo "$1 works $(cat /tmp/sum)"; }
put full-before vda 1
for i in 2 3 4 5 6 7; do put "full-$i" vda $i; done
put limit-below vdb 200
put limit-above vdb 350
get limit-below-read vdb 200
get cut-before vdc 1
get cut-behind vdc 6
get bad-before vde 0
get bad-read vde 2
get bad-after vde 0
put server-full vdd 9
echo room
while ! put full-again vda 7 | grep works; do sleep 0.2; done
get full-read vda 7
put server-again vdd 9
for disk in a b c d e; do echo "vd$disk: $(dd if=/dev/vd$disk bs=4k count=1 iflag=direct 2>/dev/null | wc -c)"; done
END
truncate -s 16M "$small/full" "$small/served"
truncate -s 400M "$work/limited"
head -c 8M /dev/zero | tee "$work/cut" >"$work/bad"
qemu-nbd --persistent --shared=2 --format=raw --cache=writeback --socket="$work/served.socket" "$small/served" &
servers=$!
qemu-nbd --persistent --shared=2 --socket="$work/bad.socket" --image-opts \
	"driver=raw,file.driver=blkdebug,file.image.driver=file,file.image.filename=$work/bad,file.inject-error.0.event=read_aio,file.inject-error.0.sector=4096,file.inject-error.0.errno=5" &
servers="$servers $!"
for name in served bad; do
	waited=0
	until [ -S "$work/$name.socket" ]; do
		sleep 0.1
		waited=$((waited + 1))
		[ "$waited" -lt 100 ] || fail "qemu-nbd does not start"
	done
done
"$root/tools/guest/extend" "$work/initrd" "$work/errors" || exit
(
	ulimit -f 614400 # 300 MiB
	# The loader splits LD_PRELOAD at blanks, and the build's path may have some.
	[ -z "$library" ] || { cp "$library" "$work/no_uring.so" && export LD_PRELOAD="$work/no_uring.so"; }
	exec "$trine" run --kernel "$cache/vmlinuz" --initrd "$work/initrd" --memory 192M --append "console=ttyS0 loglevel=1 trine.script=errors" \
		--disk "$small/full" --disk "$work/limited" --disk "$work/cut" --disk "nbd+unix:///?socket=$work/served.socket" \
		--disk "nbd+unix:///?socket=$work/bad.socket" --max-time 280 </dev/null >"$work/out" 2>&1
) &
pid=$!
until [ -s "$work/out" ] || ! kill -0 $pid 2>/dev/null; do sleep 0.1; done # it runs, so its disks are open
truncate -s 4M "$work/cut"
await_line $pid '^room' 240 "the guest does not come so far"
mount -o remount,size=64m "$small" || fail "remount"
wait $pid
status=$?
tr -d '\r' <"$work/out" >"$work/text"
cat "$work/text"
[ "$status" = 0 ] || fail "exit status $status"
ones=$(tr '\0' 1 </dev/zero | head -c 1M | md5sum | cut -c 1-8) zeros=$(head -c 1M /dev/zero | md5sum | cut -c 1-8)
for line in 'full-before works' "full-7 fails: error writing '/dev/vda': Input/output error" 'limit-below works' \
	"limit-above fails: error writing '/dev/vdb': Input/output error" "limit-below-read works $ones" "cut-before works $zeros" \
	'cut-behind fails: /dev/vdc: Input/output error' "bad-before works $zeros" 'bad-read fails: /dev/vde: Input/output error' \
	"bad-after works $zeros" "server-full fails: error writing '/dev/vdd': Input/output error" 'full-again works' "full-read works $ones" \
	'server-again works' 'vda: 4096' 'vdb: 4096' 'vdc: 4096' 'vdd: 4096' 'vde: 4096' 'trine-script-exit 0'; do
	grep -qx "$line" "$work/text" || fail "no line: $line"
done
