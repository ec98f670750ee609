#!/bin/sh
# Debian's kernel and its own drivers on PCI and virtio: the bus as Linux lists it, a file system made on the host that is read,
# written and checked again on the host, discard, the entropy device; `snapshot` and `readonly` change nothing on the host.
# By virtio's modern registers, or by the legacy ones.
# usage: virtio_disk.sh TRINE SOURCE-ROOT modern|legacy
trine=$1 root=$2 registers=$3
. "$(dirname -- "$0")/lib.sh"
need_debian
command -v mke2fs >/dev/null || { echo "mke2fs is not installed (package e2fsprogs)" && exit 77; }
cat >"$work/disk" <<'END'
virtio
for d in /sys/bus/pci/devices/*; do echo "pci ${d##*/} $(cat $d/vendor) $(cat $d/device) $(cat $d/irq)"; done
for disk in vda vdb vdc; do
	mount -t ext4 /dev/$disk /root
	grep -q " /root ext4 ro" /proc/mounts && echo "$disk is readonly"
	cat /root/hello
	seq 1 100000 >/root/numbers && sync && echo 3 >/proc/sys/vm/drop_caches && echo "$disk $(md5sum </root/numbers)"
	[ $disk = vda ] && fstrim -v /root
	umount /root
done
echo "rng $(cat /sys/class/misc/hw_random/rng_current) $(head -c 64 /dev/hwrng | wc -c)"
sed -n 's/.*PCI-MSI.*virtio0-req.*/msix in use/p' /proc/interrupts
echo "version 1: $(cut -c 33 /sys/block/vda/device/features)"
END
mkdir "$work/folder"
echo hello-disk >"$work/folder/hello"
for disk in written thrown fixed; do "$root/tools/mkdisk" "$work/$disk" 32M "$work/folder" || fail "mkdisk"; done
cp "$work/thrown" "$work/thrown.before"
cp "$work/fixed" "$work/fixed.before"
"$root/tools/guest/extend" "$work/initrd" "$work/disk" || exit
"$trine" run --kernel "$cache/vmlinuz" --initrd "$work/initrd" --memory 256M --append "console=ttyS0 loglevel=5 trine.script=disk$(virtio_option "$registers")" \
	--disk "$work/written" --disk "$work/thrown,snapshot" --disk "$work/fixed,readonly" --max-time 280 </dev/null >"$work/out" 2>&1
status=$?
tr -d '\r' <"$work/out" >"$work/text"
tail -n 40 "$work/text"
[ "$status" = 0 ] || fail "exit status $status"
for line in 'pci 0000:00:00.0 0x8086 0x1237 0' 'pci 0000:00:01.0 0x8086 0x7000 0' 'pci 0000:00:01.3 0x8086 0x7113 9' \
	'pci 0000:00:03.0 0x1af4 0x1001 1[01]' 'pci 0000:00:1e.0 0x1af4 0x1005 1[01]' 'vdc is readonly' 'rng virtio_rng.0 64' 'msix in use' \
	"version 1: $(virtio_version "$registers")"; do
	grep -qx "$line" "$work/text" || fail "no line: $line"
done
[ "$(grep -c '^hello-disk' "$work/text")" = 3 ] || fail "a disk was not read"
sum=$(seq 1 100000 | md5sum)
grep -qx "vda $sum" "$work/text" && grep -qx "vdb $sum" "$work/text" || fail "what was written came back otherwise"
e2fsck -fn "$work/written" || fail "the file system is damaged"
debugfs -R 'cat numbers' "$work/written" 2>/dev/null | md5sum | grep -q "$sum" || fail "what was written is not on the host's disk"
cmp "$work/thrown" "$work/thrown.before" || fail "snapshot wrote to the disk"
cmp "$work/fixed" "$work/fixed.before" || fail "readonly wrote to the disk"
