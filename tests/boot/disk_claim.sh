#!/bin/sh
# A block device has as many nodes as one likes, and a lock belongs to a node: a disk that writes claims the device itself. Another machine by
# another node, and a device that is mounted, are refused before the guest starts; who only reads a mounted device may.
# usage: disk_claim.sh TRINE HANG-IMAGE HELLO-IMAGE
trine=$1 hang=$2 hello=$3
. "$(dirname -- "$0")/lib.sh"
for program in losetup unshare mke2fs; do
	command -v $program >/dev/null || { echo "$program is not installed (packages mount, util-linux, e2fsprogs)" && exit 77; }
done
[ "$(id -u)" = 0 ] || { echo "only root makes loop devices" && exit 77; }
if [ -z "${TRINE_CLAIM_INSIDE-}" ]; then
	rm -rf "$work"
	unshare -m true 2>/dev/null || { echo "this kernel has no mount namespaces" && exit 77; }
	exec env TRINE_CLAIM_INSIDE=1 unshare -m sh "$0" "$@"
fi
mount -t tmpfs -o mode=700 tmpfs "$work" && mkdir "$work/mounted" || fail "tmpfs"
device=
pid=
trap '[ -z "$pid" ] || kill $pid; umount "$work/mounted" 2>/dev/null; [ -z "$device" ] || losetup -d "$device"; umount "$work"; rm -rf "$work"' EXIT
head -c 1M /dev/zero >"$work/image"
mke2fs -q -t ext2 "$work/image" || fail "mke2fs"
device=$(losetup -f --show "$work/image") || { device= && echo "no loop devices here" && exit 77; }
for node in one two; do
	mknod -m 600 "$work/$node" b "$((0x$(stat -c %t "$device")))" "$((0x$(stat -c %T "$device")))" || fail "mknod"
done

start() { # DISK-OPTION: status in status, what it says in said
	said=$("$trine" run --kernel "$hello" --memory 16M --quiet --debug-exit --disk "$1" 2>&1 </dev/null)
	status=$?
}
refused() {
	start "$1"
	[ $status = 3 ] && [ "$said" = "trine: $1: is in use: mounted, or another virtual machine's" ] || fail "$2: status $status: $said"
}
starts() {
	start "$1"
	[ $status = 33 ] || fail "$2: status $status: $said"
}

starts "$work/two" "a device of its own"
"$trine" run --kernel "$hang" --memory 16M --quiet --max-time 100 --qmp "unix:$work/qmp" --disk "$work/one" </dev/null >"$work/held" 2>&1 &
pid=$!
for tenth in $(seq 300); do
	[ ! -S "$work/qmp" ] || break
	kill -0 $pid 2>/dev/null || fail "the first machine: $(cat "$work/held")"
	sleep 0.1
done
refused "$work/two" "another node of a disk in use"
kill $pid
wait $pid
pid=
starts "$work/two" "a device whose user has ended"
mount -o ro "$device" "$work/mounted" || fail "mount"
refused "$work/two" "a mounted device"
starts "$work/two,readonly" "a mounted device, to read"
