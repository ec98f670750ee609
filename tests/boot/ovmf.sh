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
vars)
	# A variable that the shell sets is there in the next machine: in flash beside firmware of 2 MiB and of 4, but not with `snapshot`. And what is no such file is refused.
	for size in "" _4M; do
		code=/usr/share/OVMF/OVMF_CODE$size.fd vars=$work/vars$size
		cp "/usr/share/OVMF/OVMF_VARS$size.fd" "$vars"
		vars_shell() { # OPTION COMMAND: what the shell said is in "$work/out"
			rm -f "$work/in" && mkfifo "$work/in"
			"$trine" run --firmware "$code" --firmware-vars "$1" --memory 256M --max-time $((150 * slower)) $engine <"$work/in" >"$work/out" 2>&1 &
			pid=$!
			exec 3>"$work/in"
			for n in 1 2; do # the first key ends the wait for startup.nsh
				until [ "$(grep -a -o 'Shell> ' "$work/out" | wc -l)" -ge $n ]; do
					kill -0 $pid 2>/dev/null || fail "no shell$size: $(tail -c 2000 "$work/out")"
					sleep 0.2
				done
				[ $n = 2 ] || printf '\r' >&3
			done
			printf '%s\r' "$2" >&3
			sleep $((2 * slower))
			printf 'reset -s\r' >&3
			wait $pid || fail "status $?$size: $(tail -c 2000 "$work/out")"
			exec 3>&-
		}
		engine=$*
		guid=8b1c4f5e-2a6d-4c3b-9e7f-0d1e2f3a4b5c
		vars_shell "$vars,snapshot" "setvar trine -guid $guid -nv -bs =0xA55A1234"
		cmp -s "$vars" "/usr/share/OVMF/OVMF_VARS$size.fd" || fail "a snapshot changed $vars"
		vars_shell "$vars" "setvar trine -guid $guid -nv -bs =0xA55A1234"
		vars_shell "$vars" "setvar trine -guid $guid"
		tr -d '\r' <"$work/out" | grep -a -q -i '34 12 5A A5' || fail "the variable is gone$size: $(tail -c 1000 "$work/out")"
	done
	head -c 5000 /dev/zero >"$work/odd"
	head -c 14M /dev/zero >"$work/large"
	refused() { # STATUS OPTION TEXT
		"$trine" run --firmware "$code" --firmware-vars "$2" </dev/null >"$work/out" 2>&1
		status=$?
		[ $status = "$1" ] && [ "$(wc -l <"$work/out")" = 1 ] && grep -q -- "$3" "$work/out" || fail "$2: status $status: $(cat "$work/out")"
	}
	refused 3 "$work/none" "$work/none: No such file"
	refused 3 "$work" 'is a directory'
	refused 3 "$work/odd" 'no multiple of 512'
	refused 3 "$work/large" 'not a store of firmware.s variables: has 14680064 bytes'
	refused 2 "$vars,readable" 'readable: neither readonly nor snapshot'
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
