#!/bin/sh
# The machine without PCI: Debian's kernel finds virtio in memory through ACPI, mounts a disk, draws entropy, and powers off.
# usage: microvm.sh TRINE SOURCE-ROOT
trine=$1 root=$2
. "$(dirname -- "$0")/lib.sh"
need_debian
command -v mke2fs >/dev/null || { echo "mke2fs is not installed (package e2fsprogs)" && exit 77; }
cat >"$work/micro" <<'END'
virtio
echo "pci devices: $(ls /sys/bus/pci/devices 2>/dev/null | wc -l)"
mount -t ext4 /dev/vda /root && cat /root/hello && seq 1 1000 >/root/numbers && umount /root
echo "rng $(head -c 64 /dev/hwrng | wc -c)"
ip link set eth0 up && echo "net $(cat /sys/class/net/eth0/address)"
sed -n 's/.*IO-APIC.*virtio\([0-9]\)$/level interrupt of virtio\1/p' /proc/interrupts
END
mkdir "$work/folder"
echo hello-disk >"$work/folder/hello"
"$root/tools/mkdisk" "$work/disk" 16M "$work/folder" || fail "mkdisk"
"$root/tools/guest/extend" "$work/initrd" "$work/micro" || exit
"$trine" run --machine microvm --kernel "$cache/vmlinuz" --initrd "$work/initrd" --memory 256M \
	--append "console=ttyS0 loglevel=5 trine.script=micro" --disk "$work/disk" --net user --max-time 280 </dev/null >"$work/out" 2>&1
status=$?
tr -d '\r' <"$work/out" >"$work/text"
tail -n 20 "$work/text"
[ "$status" = 0 ] || fail "exit status $status"
for line in 'pci devices: 0' hello-disk 'rng 64' 'net 52:54:00:12:34:56' 'level interrupt of virtio0'; do
	grep -qx "$line" "$work/text" || fail "no line: $line"
done
e2fsck -fn "$work/disk" || fail "the file system is damaged"
debugfs -R 'cat numbers' "$work/disk" 2>/dev/null | tail -n 1 | grep -qx 1000 || fail "what was written is not on the host's disk"
