#!/bin/sh
# A fault planted 1,500 million instructions into Debian's boot is found and narrowed down to its instruction without help.
# usage: check_debian.sh TRINE-FAULTY
trine=$1
. "$(dirname -- "$0")/../boot/lib.sh"
need_debian
"$trine" check --engines interp,interp-flag --kernel "$cache/vmlinuz" --initrd "$cache/initramfs.cpio" --append "console=ttyS0 trine.script=smoke" \
	--memory 256M --quiet </dev/null >"$work/out" 2>"$work/err"
status=$?
cat "$work/out" "$work/err"
[ $status = 1 ] || fail "exit status $status, not 1"
grep -q '^difference: they agree after 15000[0-9]* instructions' "$work/out" || fail "not narrowed down"
grep -q '^instruction: 0x[0-9a-f]*: .* \(cmp\|test\) ' "$work/out" || fail "not that instruction"
grep -q 'cpu0.rflags: .*(ZF)' "$work/out" || fail "not that field"
grep -q '^replay: trine check --engines interp,interp-flag --at 15000' "$work/out" || fail "no replay"
