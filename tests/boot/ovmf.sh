#!/bin/sh
# Debian's OVMF: to its shell, which is asked something on the serial port and powers the machine off (shell); to a GRUB for UEFI on a CD that starts
# one of our guests by Multiboot, past a disk with nothing on it (grub); to the same GRUB that starts Debian's kernel by its EFI stub (linux).
# usage: ovmf.sh TRINE GUEST.elf shell|grub|linux [OPTION]...
trine=$1 guest=$2 what=$3
shift 3
. "$(dirname -- "$0")/lib.sh"
firmware=/usr/share/ovmf/OVMF.fd
[ -f $firmware ] || { echo "OVMF is not installed (package ovmf)" && exit 77; }
ovmf() { "$trine" run --firmware $firmware --memory 256M --max-time $((150 * slower)) "$@"; }

make_disc() { # COMMANDS of GRUB
	[ -f /usr/lib/grub/x86_64-efi/modinfo.sh ] && command -v grub-mkrescue >/dev/null && command -v xorriso >/dev/null && command -v mformat >/dev/null ||
		{ echo "packages grub-common grub-efi-amd64-bin xorriso mtools are not all installed" && exit 77; }
	mkdir -p "$work/disc/boot/grub"
	printf 'serial --unit=0 --speed=115200\nterminal_output serial\necho GRUB on $grub_platform\n%s\nboot\n' "$1" >"$work/disc/boot/grub/grub.cfg"
	grub-mkrescue -o "$work/disc.iso" "$work/disc" >"$work/log" 2>&1 || { tail -n 3 "$work/log" && fail "grub-mkrescue"; }
}
# STATUS LINE: how it must have ended, and what it must have said.
ended() {
	[ $status = "$1" ] && tr -d '\r' <"$work/out" | grep -q -- "$2" || fail "status $status, must be $1, and must say '$2': $(tail -c 2000 "$work/out")"
}

case $what in
shell)
	mkfifo "$work/in"
	ovmf "$@" <"$work/in" >"$work/out" 2>&1 &
	pid=$!
	exec 3>"$work/in"
	says() { # TEXT N: waits until it was said N times
		until [ "$(grep -a -o -- "$1" "$work/out" | wc -l)" -ge "$2" ]; do
			kill -0 $pid 2>/dev/null || fail "ended before it said '$1': $(tail -c 2000 "$work/out")"
			sleep 0.2
		done
	}
	says 'Shell> ' 1
	printf 'set -v trine yes\r' >&3
	says 'Shell> ' 2
	printf 'echo answer-%%trine%%\r' >&3
	says answer-yes 1
	says 'Shell> ' 3
	printf 'reset -s\r' >&3
	wait $pid
	status=$?
	ended 0 'UEFI Interactive Shell'
	;;
grub)
	mkdir -p "$work/disc"
	cp "$guest" "$work/disc/guest"
	make_disc 'multiboot /guest'
	head -c 1M /dev/zero >"$work/blank"
	ovmf --disk "$work/blank" --cdrom "$work/disc.iso" --debug-exit "$@" </dev/null >"$work/out" 2>&1
	status=$?
	ended 33 'GRUB on efi'
	ended 33 '^hello from world 32'
	;;
linux)
	need_debian
	mkdir -p "$work/disc"
	cp "$cache/vmlinuz" "$cache/initramfs.cpio" "$work/disc"
	make_disc 'linux /vmlinuz console=ttyS0 trine.script=smoke
initrd /initramfs.cpio'
	ovmf --cdrom "$work/disc.iso" "$@" </dev/null >"$work/out" 2>&1
	status=$?
	ended 0 '^trine-smoke-ok$'
	ended 0 'efi: EFI v.* by EDK II'
	ended 0 'ACPI: RSDP 0x.*TRINE'
	;;
esac
