#!/bin/sh
# Debian's programs, which choose their code by CPUID at run time, compute the same inside as outside: userland.guest in the tree of
# tools/guest/userland, natively by chroot and in a VM of the default CPU.
# usage: userland.sh TRINE [OPTION OF run]...
trine=$1
shift
here=$(dirname -- "$0")
. "$here/lib.sh"
need_debian
tree=${cache%/guest}/userland
[ -f "$tree/manifest" ] || {
	echo "no Debian tree in $tree: tools/guest/userland makes it"
	exit 77
}

outside='mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && mount -t tmpfs tmpfs "$1/tmp" && mount --bind /dev "$1/dev" && exec chroot "$1" /bin/sh'
native=
for way in "unshare --mount" "unshare --map-root-user --mount"; do
	$way true 2>/dev/null && native=$way && break
done
[ -n "$native" ] || {
	echo "this user cannot make a mount namespace, which the run outside needs"
	exit 77
}
$native sh -c "$outside" sh "$tree/root" <"$here/userland.guest" >"$work/outside" 2>"$work/outside.err" || fail "outside: exit status $?: $(tail -n 3 "$work/outside.err")"
grep -qx userland-done "$work/outside" || fail "outside: no end: $(tail -n 3 "$work/outside.err")"

mkdir -p "$work/top/scripts"
cp -- "$here/userland.guest" "$work/top/work" || fail "no userland.guest"
cat >"$work/top/scripts/userland" <<'SCRIPT'
mount --bind /dev /debian/dev
mount -t proc proc /debian/proc
mount -t tmpfs tmpfs /debian/tmp
chroot /debian /bin/sh </work
SCRIPT
(cd "$work/top" && find . -mindepth 1 | cpio --quiet -o -H newc -R 0:0) >"$work/extra.cpio" || fail "cpio"
cat "$tree/initramfs.cpio" "$work/extra.cpio" >"$work/initrd"
"$trine" run --kernel "$cache/vmlinuz" --initrd "$work/initrd" --memory 1G --append "console=ttyS0 quiet trine.script=userland" --max-time 1500 \
	--stats "$work/stats" "$@" </dev/null >"$work/console" 2>"$work/err"
status=$?
tr -d '\r' <"$work/console" >"$work/inside"
[ "$status" = 0 ] || { tail -n 20 "$work/inside" && fail "exit status $status: $(tail -n 1 "$work/err")"; }
grep -qx userland-done "$work/inside" || { tail -n 20 "$work/inside" && fail "inside: no end"; }
[ "$(stat_of "$work/stats" unbuilt)" = 0 ] || fail "instructions not built"

grep '^result ' "$work/outside" >"$work/a"
grep '^result ' "$work/inside" >"$work/b"
diff "$work/a" "$work/b" || fail "results differ: < outside, > inside"
! grep e3b0c44298fc1c149afbf4c8996fb924 "$work/a" || fail "the sum of nothing: a program did not work"
expect results '>=' 50 "$(wc -l <"$work/a")"
# Not the same because both took the plainest code.
grep -q '^level v3 (supported' "$work/inside" || fail "the dynamic linker inside does not find x86-64-v3: $(grep '^level' "$work/inside")"
echo "$(stat_of "$work/stats" guest_instructions) instructions"
