#!/bin/sh
# A qcow2 image through qemu-nbd, read and written by Debian's kernel and checked by qemu-img; and a server that vanishes, which is an
# I/O error to the guest.
# usage: nbd_disk.sh TRINE SOURCE-ROOT
trine=$1 root=$2
. "$(dirname -- "$0")/lib.sh"
need_debian
for program in qemu-nbd qemu-img mke2fs; do
	command -v $program >/dev/null || { echo "$program is not installed (packages qemu-utils, e2fsprogs)" && exit 77; }
done
cat >"$work/nbd" <<'END'
virtio
mount -t ext4 /dev/vda /root && cat /root/hello && seq 1 100000 >/root/numbers && umount /root && echo written
head -c 4096 /dev/vdb | wc -c
echo vanish
while dd if=/dev/vdb of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null; do sleep 0.2; done
echo "error seen"
END
mkdir "$work/folder"
echo hello-disk >"$work/folder/hello"
"$root/tools/mkdisk" "$work/raw" 32M "$work/folder" || fail "mkdisk"
qemu-img convert -f raw -O qcow2 "$work/raw" "$work/disk.qcow2" || fail "qemu-img"
qemu-nbd --persistent --format=raw --socket="$work/socket" "$work/raw" &
server=$!
trap 'kill $server 2>/dev/null; rm -rf "$work"' EXIT
until [ -S "$work/socket" ]; do sleep 0.2; done
"$root/tools/guest/extend" "$work/initrd" "$work/nbd" || exit
"$trine" run --kernel "$cache/vmlinuz" --initrd "$work/initrd" --memory 256M --append "console=ttyS0 loglevel=3 trine.script=nbd" \
	--disk "$work/disk.qcow2" --disk "nbd+unix:///?socket=$work/socket" --max-time 280 </dev/null >"$work/out" 2>&1 &
pid=$!
await_line $pid '^vanish' 250 "the guest does not come so far"
kill -9 $server
wait $pid
status=$?
tr -d '\r' <"$work/out" >"$work/text"
tail -n 20 "$work/text"
[ "$status" = 0 ] || fail "exit status $status"
for line in hello-disk written 4096 'error seen'; do
	grep -qx "$line" "$work/text" || fail "no line: $line"
done
qemu-img check "$work/disk.qcow2" || fail "the image is damaged"
qemu-img convert -f qcow2 -O raw "$work/disk.qcow2" "$work/after" && e2fsck -fn "$work/after" || fail "the file system is damaged"
debugfs -R 'cat numbers' "$work/after" 2>/dev/null | tail -n 1 | grep -qx 100000 || fail "what was written is not in the image"
