#!/bin/sh
# Two virtual machines and one image: one that writes has it alone, and the other is refused before its guest starts; readers share it. A
# snapshot and a CD-ROM are readers. The lock is the one that QEMU's programs take too.
# usage: disk_lock.sh TRINE HANG-IMAGE HELLO-IMAGE
trine=$1 hang=$2 hello=$3
. "$(dirname -- "$0")/lib.sh"
image=$work/image
head -c 1M /dev/zero >"$image"
pid=
trap '[ -z "$pid" ] || kill $pid; rm -rf "$work"' EXIT
cases=0

# DISK-OPTION...: the first machine, until its guest runs.
hold() {
	"$trine" run --kernel "$hang" --memory 16M --quiet --max-time 100 --qmp "unix:$work/qmp" "$@" </dev/null >"$work/held" 2>&1 &
	pid=$!
	for tenth in $(seq 300); do
		[ ! -S "$work/qmp" ] || return 0
		kill -0 $pid 2>/dev/null || fail "the first machine, $*: $(cat "$work/held")"
		sleep 0.1
	done
	fail "the first machine does not start"
}
release() {
	kill -0 $pid 2>/dev/null || fail "the first machine has ended: $(cat "$work/held")"
	kill $pid
	wait $pid
	pid=
}
second() { # DISK-OPTION...: its exit status; what it says is in said
	said=$("$trine" run --kernel "$hello" --memory 16M --quiet --debug-exit "$@" 2>&1 </dev/null)
}
refused() {
	second "$@"
	status=$?
	[ $status = 3 ] && [ "$said" = "trine: $image: is in use by another virtual machine" ] || fail "second machine, $*: status $status: $said"
	cases=$((cases + 1))
}
shared() {
	second "$@"
	status=$?
	[ $status = 33 ] || fail "second machine, $*: status $status: $said"
	cases=$((cases + 1))
}

writer="--disk $image" readers="--disk,$image,readonly --disk,$image,snapshot --disk,$image,bus=ide,snapshot --cdrom,$image"
hold $writer
refused $writer
for reader in $readers; do refused ${reader%%,*} "${reader#*,}"; done
if command -v qemu-img >/dev/null; then
	qemu-img convert -f raw -O raw "$image" "$work/copy" >"$work/said" 2>&1 && fail "qemu-img read a disk that a machine writes"
	grep -q 'lock' "$work/said" || fail "qemu-img: $(cat "$work/said")"
fi
release
shared $writer # the lock went with its owner
for first in $readers; do
	hold ${first%%,*} "${first#*,}"
	refused $writer
	for reader in $readers; do shared ${reader%%,*} "${reader#*,}"; done
	release
done
# One that was killed leaves nothing behind.
hold $writer
kill -9 $pid
wait $pid 2>/dev/null
pid=
rm -f "$work/qmp"
shared $writer
command -v qemu-img >/dev/null || { echo "$cases cases passed, not tried: QEMU's programs (package qemu-utils)" && exit 77; }
echo "$cases cases"
