#!/bin/sh
# A language that compiles while it runs, Debian's LuaJIT, inside Debian's kernel: luajit.lua computes the same as natively. What it costs is printed, in times of
# its native CPU time; what it must not cost is asserted by counts.
# usage: luajit.sh TRINE same [OPTION OF run]... | TRINE figures SCALE [OPTION OF run]...: the same, larger, without a limit; ENGINE=tcg: in QEMU
trine=$1 what=$2
shift 2
here=$(dirname -- "$0")
. "$here/lib.sh"
need_debian
tree=${cache%/guest}/userland/root
[ -x "$tree/usr/bin/luajit" ] || {
	echo "no luajit in $tree: tools/guest/userland makes it"
	exit 77
}
scale=2
[ "$what" = same ] || { scale=$1 && shift; }

lib=usr/lib/x86_64-linux-gnu
top=$work/top/jit
mkdir -p "$top/usr/bin" "$top/$lib" "$top/lib64" "$work/top/scripts"
cp -L -- "$tree/usr/bin/luajit" "$top/usr/bin/" && cp -L -- "$tree/lib64/ld-linux-x86-64.so.2" "$top/lib64/" || fail "no luajit"
for name in libc.so.6 libm.so.6 libgcc_s.so.1; do
	cp -L -- "$tree/$lib/$name" "$top/$lib/" || fail "no $name"
done
ln -s usr/lib "$top/lib"
cp -- "$here/luajit.lua" "$top/work.lua" || fail "no luajit.lua"
printf 'chroot /jit /usr/bin/luajit /work.lua %s\n' "$scale" >"$work/top/scripts/luajit"
find "$work/top" -exec touch -h -d @0 {} +
(cd "$work/top" && find . -mindepth 1 | LC_ALL=C sort | cpio --quiet --reproducible -o -H newc -R 0:0) >"$work/extra.cpio" || fail "cpio"
cat "$cache/initramfs.cpio" "$work/extra.cpio" >"$work/initrd"

"$top/lib64/ld-linux-x86-64.so.2" --library-path "$top/$lib" "$top/usr/bin/luajit" "$here/luajit.lua" "$scale" >"$work/outside" || fail "outside: exit status $?"
append="console=ttyS0 quiet trine.script=luajit"
if [ "${ENGINE-}" = tcg ]; then
	timeout 600 qemu-system-x86_64 -accel tcg -cpu max -m 256 -display none -serial stdio -monitor none -no-reboot -kernel "$cache/vmlinuz" -initrd "$work/initrd" \
		-append "$append" </dev/null >"$work/console" 2>"$work/err"
else
	"$trine" run --kernel "$cache/vmlinuz" --initrd "$work/initrd" --memory 256M --append "$append" --max-time 500 --stats "$work/stats" "$@" \
		</dev/null >"$work/console" 2>"$work/err"
fi
status=$?
tr -d '\r' <"$work/console" >"$work/inside"
[ "$status" = 0 ] || [ "${ENGINE-}" = tcg ] || { tail -n 20 "$work/inside" && fail "exit status $status: $(tail -n 1 "$work/err")"; }
grep -qx 'jit on' "$work/inside" || { tail -n 20 "$work/inside" && fail "no end, or the compiler is off"; }
grep '^result ' "$work/outside" >"$work/a"
grep '^result ' "$work/inside" >"$work/b"
diff "$work/a" "$work/b" || fail "results differ: < outside, > inside"
expect results '==' 8 "$(wc -l <"$work/a")"
awk '/^time / { if (FILENAME ~ /outside$/) native[$2] = $3; else printf "%s: %d us, natively %d us, %.2f times\n", $2, $3, native[$2], $3 / (native[$2] + 0.001) }' \
	"$work/outside" "$work/inside"
[ "${ENGINE-}" = tcg ] || echo "$(stat_of "$work/stats" guest_instructions) instructions, $(stat_of "$work/stats" translated) translations, $(stat_of "$work/stats" flushed) dropped, $(stat_of "$work/stats" steps) interpreted alone"
