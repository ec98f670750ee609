#!/bin/sh
# A CD-ROM by SeaBIOS: GRUB's rescue disc reads its menu and a file from it and halts.
# usage: cdrom.sh TRINE SOURCE-ROOT [ENGINE]
trine=$1 root=$2 engine=${3:-auto}
. "$(dirname -- "$0")/lib.sh"
[ -f /usr/share/seabios/bios-256k.bin ] || { echo "SeaBIOS is not installed (package seabios)" && exit 77; }
for program in grub-mkrescue xorriso mformat; do
	command -v $program >/dev/null || { echo "$program is not installed (packages grub-common grub-pc-bin xorriso mtools)" && exit 77; }
done
mkdir -p "$work/disc/boot/grub"
cat >"$work/disc/boot/grub/grub.cfg" <<'END'
serial --unit=0 --speed=115200
terminal_output serial
cat /note
halt
END
echo this-is-the-disc >"$work/disc/note"
grub-mkrescue -o "$work/disc.iso" "$work/disc" >"$work/log" 2>&1 || { tail -n 3 "$work/log" && fail "grub-mkrescue"; }
head -c 1M /dev/zero >"$work/blank"
for bus in virtio ide; do # an empty disk before the disc in the order is passed over
	"$trine" run --engine "$engine" --memory 64M --disk "$work/blank,bus=$bus" --cdrom "$work/disc.iso" --max-time 100 </dev/null >"$work/out" 2>&1
	status=$?
	[ $status = 0 ] && grep -q this-is-the-disc "$work/out" || fail "beside a $bus disk: status $status: $(tail -n 5 "$work/out")"
done
