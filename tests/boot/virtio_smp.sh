#!/bin/sh
# One disk, four vCPUs that write, read and verify at once: every queue is driven from several processors.
# usage: virtio_smp.sh TRINE SOURCE-ROOT [OPTION]...
trine=$1 root=$2
shift 2
. "$(dirname -- "$0")/lib.sh"
need_debian
command -v mke2fs >/dev/null || { echo "mke2fs is not installed (package e2fsprogs)" && exit 77; }
cat >"$work/load" <<'END'
virtio
mount -t ext4 /dev/vda /root
for i in 1 2 3 4; do
	(
		seq $i 4 100000 >/root/f$i
		sync
		cat /dev/vda >/dev/null
		head -c 1000 /dev/hwrng | wc -c >/tmp/random$i
	) &
done
wait
umount /root
mount -t ext4 /dev/vda /root
for i in 1 2 3 4; do echo "sum $i $(md5sum </root/f$i) $(cat /tmp/random$i)"; done
umount /root
grep -c ^processor /proc/cpuinfo
awk '/virtio0-req/ { n = 0; for (i = 2; i <= 5; i++) if ($i) n++; print "queue answered on", n, "cpus" }' /proc/interrupts
END
mkdir "$work/folder"
"$root/tools/mkdisk" "$work/disk" 16M "$work/folder" || fail "mkdisk"
"$root/tools/guest/extend" "$work/initrd" "$work/load" || exit
"$trine" run --kernel "$cache/vmlinuz" --initrd "$work/initrd" --memory 256M --cpus 4 --append "console=ttyS0 loglevel=5 trine.script=load" \
	--disk "$work/disk" --max-time 500 "$@" </dev/null >"$work/out" 2>&1
status=$?
tr -d '\r' <"$work/out" >"$work/text"
tail -n 12 "$work/text"
[ "$status" = 0 ] || fail "exit status $status"
for i in 1 2 3 4; do
	sum=$(seq $i 4 100000 | md5sum)
	grep -qx "sum $i $sum 1000" "$work/text" || fail "file $i"
done
e2fsck -fn "$work/disk" >"$work/fsck" 2>&1 || fail "the file system is damaged"
