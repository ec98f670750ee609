#!/bin/sh
# The interpreter on another architecture: bare-metal guests end on 64-bit Arm (under qemu-user) with the same exit status, instruction
# count and state hash as here.
# usage: portable.sh TRINE SOURCE-ROOT GUEST.elf...
trine=$1 root=$2
shift 2
. "$(dirname -- "$0")/lib.sh"
skip() {
	echo "$*"
	exit 77
}

why=$("$root/tools/aarch64" --check 2>&1) || skip "no cross compiler and emulator: $(printf %s "$why" | head -n 1)"
(cd "$root" && tools/aarch64) >"$work/build" 2>&1
status=$?
[ $status != 3 ] || skip "$(tail -n 1 "$work/build")"
[ $status = 0 ] || { tail -n 20 "$work/build" && fail "it does not build"; }

lib=${cache%/guest}/aarch64/sysroot/usr/lib/aarch64-linux-gnu
cat >"$work/arm" <<END
#!/bin/sh
exec qemu-aarch64-static -L /usr/aarch64-linux-gnu -E LD_LIBRARY_PATH="$lib" "$root/build-aarch64/trine" "\$@"
END
chmod +x "$work/arm"
# NAME COMMAND...: what the guest came to. QEMU's user mode knows no seccomp.
ended() {
	name=$1
	shift
	timeout 600 "$@" run --engine interp --sandbox off --kernel "$guest" --debug-exit --time virtual --quiet --stats "$work/$name" </dev/null >"$work/$name.out" 2>&1
	echo "status $?, $(stat_of "$work/$name" guest_instructions) instructions, state $(stat_of "$work/$name" state_hash)"
}
for guest; do
	here=$(ended here "$trine") arm=$(ended there "$work/arm")
	echo "${guest##*/}: $here"
	[ "$here" = "$arm" ] || { diff "$work/here.out" "$work/there.out" | head -n 20 && fail "${guest##*/} on Arm: $arm"; }
	case $here in "status 33, "[1-9]*) ;; *) fail "${guest##*/} did not pass" ;; esac
done
