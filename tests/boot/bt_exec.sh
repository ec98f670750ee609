#!/bin/sh
# Translations are position-independent and outlive address spaces: once a program has run, its next exec, at other addresses and in other page
# tables, makes fewer than 100, the shell's fork and the kernel's part included. Counts of nine runs less those of one, of /bin/true: Debian's, with its
# dynamic linker, where tools/guest/userland made its tree; else the guest's own busybox.
# usage: bt_exec.sh TRINE
trine=$1
. "$(dirname -- "$0")/lib.sh"
need_engine bt
need_debian
tree=${cache%/guest}/userland
mkdir -p "$work/top/scripts"
cat >"$work/top/scripts/exec" <<'END'
# trine.program=FILE trine.runs=N
for word in $(cat /proc/cmdline); do
	case $word in
	trine.program=*) program=${word#*=} ;;
	trine.runs=*) runs=${word#*=} ;;
	esac
done
way=
[ -d /debian/bin ] && way="chroot /debian"
$way /bin/sh -c 'while [ "$1" -gt 0 ]; do "$0" || exit; set -- $(($1 - 1)); done; echo runs-done' "$program" "$runs"
END
(cd "$work/top" && find . -mindepth 1 | cpio --quiet -o -H newc -R 0:0) >"$work/extra.cpio" || fail "cpio"

translations() { # INITRAMFS PROGRAM RUNS
	cat "$1" "$work/extra.cpio" >"$work/initrd"
	"$trine" run --kernel "$cache/vmlinuz" --initrd "$work/initrd" --memory 1G --engine bt --time virtual --quiet --stats "$work/stats" \
		--append "console=ttyS0 quiet trine.script=exec trine.program=$2 trine.runs=$3" </dev/null >"$work/out" 2>&1 || fail "exit status $?"
	tr -d '\r' <"$work/out" | grep -qx runs-done || fail "$(tail -n 3 "$work/out")"
	stat_of "$work/stats" translated
}
per_exec() { # NAME INITRAMFS PROGRAM
	once=$(translations "$2" "$3" 1) often=$(translations "$2" "$3" 9)
	[ -n "$once" ] && [ -n "$often" ] || fail "no counts"
	expect "$1: translations of one more exec" '<' 100 $(((often - once) / 8))
}
if [ -f "$tree/manifest" ]; then
	per_exec "Debian's /bin/true" "$tree/initramfs.cpio" /bin/true
else
	echo "no Debian tree in $tree (tools/guest/userland makes it): busybox instead"
	per_exec "busybox' true" "$cache/initramfs.cpio" /bin/true
fi
