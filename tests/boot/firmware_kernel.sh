#!/bin/sh
# --kernel, --initrd and --append together with --firmware: SeaBIOS starts Debian's kernel by our option ROM before any disk (seabios), OVMF by its
# EFI stub (ovmf). What firmware cannot start is refused.
# usage: firmware_kernel.sh TRINE GUEST.elf seabios|ovmf
trine=$1 guest=$2 what=$3
. "$(dirname -- "$0")/lib.sh"
need_debian
case $what in
seabios) firmware=/usr/share/seabios/bios-256k.bin says='Booting from ROM' ;;
ovmf) firmware=/usr/share/ovmf/OVMF.fd says='efi: EFI v.* by EDK II' ;;
esac
[ -f $firmware ] || { echo "$firmware is not there (packages seabios, ovmf)" && exit 77; }
head -c 1M /dev/zero >"$work/blank"
debian --firmware $firmware --disk "$work/blank" --append 'console=ttyS0 trine.script=smoke word=from-the-command-line' --max-time $((200 * slower)) </dev/null >"$work/out" 2>&1
status=$?
for text in "$says" 'word=from-the-command-line' '^trine-smoke-ok'; do
	[ $status = 0 ] && tr -d '\r' <"$work/out" | grep -q -a -- "$text" || fail "status $status, must be 0, and must say '$text': $(tail -c 1500 "$work/out")"
done
refuse() { # TEXT OPTION...
	text=$1
	shift
	"$trine" run --firmware $firmware --max-time 10 "$@" </dev/null >"$work/out" 2>&1
	status=$?
	[ $status = 3 ] && grep -qF -e "$text" "$work/out" || fail "$*: status $status: $(cat "$work/out")"
}
truncate -s 80M "$work/big"
head -c 9000 "$cache/vmlinuz" >"$work/short"
refuse 'not a Linux bzImage' --kernel "$guest"
refuse 'not a Linux bzImage' --kernel "$work/short"
refuse 'does not fit' --kernel "$cache/vmlinuz" --memory 32M
refuse 'no room for its' --kernel "$cache/vmlinuz" --initrd "$work/big" --memory 96M
refuse '--append: has 3000 bytes' --kernel "$cache/vmlinuz" --append "$(printf '%03000d' 0)"
