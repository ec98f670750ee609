#!/bin/sh
# tools/deps against a machine made of fakes: dpkg-query that reads a list, apt-get that writes it, id, sudo.
. "$(dirname -- "$0")/lib.sh"

host_programs sh sed awk grep cut tr cat dirname env true cc
fake dpkg-query <<'EOF2'
shift 2
for package; do
	if grep -qx -- "$package" "$TRINE_TEST_WORK/installed"; then echo "$package installed"; else echo "dpkg-query: no $package" >&2; fi
done
EOF2
fake id <<'EOF2'
cat "$TRINE_TEST_WORK/uid"
EOF2
fake apt-get <<'EOF2'
echo "apt-get $* frontend=$DEBIAN_FRONTEND root=${FAKE_SUDO-$(id -u)}" >>"$TRINE_TEST_WORK/calls"
[ -e "$TRINE_TEST_WORK/offline" ] && echo "E: no network" >&2 && exit 100
case " $* " in *" install "*) ;; *) exit 0 ;; esac
for word; do printf '%s\n' "$word"; done >>"$TRINE_TEST_WORK/installed"
EOF2
sudo_works() {
	fake sudo <<'EOF2'
[ "$1" = -n ] && shift
FAKE_SUDO=sudo exec "$@"
EOF2
}
sudo_asks() {
	fake sudo <<'EOF2'
echo "sudo: a password is required" >&2
exit 1
EOF2
}
machine() { # UID PACKAGE...: no sudo, network
	echo "$1" >"$work/uid"
	shift
	printf '%s\n' "$@" >"$work/installed"
	rm -f "$fakes/sudo" "$work/offline"
}
all=$(sed -n 's/^\(base\|test\|guest\)  *\([^ ]*\).*/\2/p' "$root/tools/packages")
none_but_cpio=$(printf '%s\n' $all | grep -vx cpio)
command="apt-get update && apt-get install -y --no-install-recommends cpio"

machine 1000 $all
try "$root/tools/deps" </dev/null
check "nothing missing: exit 0" test "$status" = 0
check "nothing missing: no apt" test ! -s "$work/calls"

machine 0 $none_but_cpio
try "$root/tools/deps" </dev/null
check "root: exit 0" test "$status" = 0
check "root: says what" grep -q 'installing: cpio$' "$work/out"
check "root: update, then install" test "$(sed 's/.* \(update\|install\) .*/\1/' "$work/calls" | tr '\n' ' ')" = "update install "
check "root: not interactive, no recommends" grep -q 'install -y --no-install-recommends cpio frontend=noninteractive' "$work/calls"
try "$root/tools/deps" </dev/null
check "root, again: no apt" test ! -s "$work/calls"

machine 0 $none_but_cpio
echo cpiofoo >>"$work/installed"
try "$root/tools/deps" --check guest </dev/null
check "check: exit 3" test "$status" = 3
check "check: no apt" test ! -s "$work/calls"
check "check: names the command" ends_with_line "$work/err" "    $command"
host_programs cpio
try "$root/tools/deps" --check guest </dev/null
check "check: content with a program that is no package" test "$status" = 0
rm "$fakes/cpio"

machine 1000 $none_but_cpio
try "$root/tools/deps" </dev/null
check "no root, no sudo: exit 3" test "$status" = 3
check "no root, no sudo: no apt" test ! -s "$work/calls"
check "no root, no sudo: names the command" ends_with_line "$work/err" "    su -c '$command'"

machine 1000 $none_but_cpio
sudo_asks
try "$root/tools/deps" </dev/null
check "sudo asks, no terminal: exit 3" test "$status" = 3
check "sudo asks, no terminal: says that it does" grep -q 'sudo asks for a password' "$work/err"
check "sudo asks, no terminal: names the command" ends_with_line "$work/err" "    sudo apt-get update && sudo apt-get install -y --no-install-recommends cpio"

machine 1000 $none_but_cpio
sudo_works
try "$root/tools/deps" </dev/null
check "sudo: exit 0" test "$status" = 0
check "sudo: apt through it, not interactive" grep -q 'install .*frontend=noninteractive root=sudo' "$work/calls"
try env FAKE=1 sh -c 'echo y | "$0"' "$root/tools/deps"
check "sudo, a pipe: exit 0" test "$status" = 0

machine 0 $none_but_cpio
: >"$work/offline"
try "$root/tools/deps" </dev/null
check "no network: exit 3" test "$status" = 3
check "no network: names the command" ends_with_line "$work/err" "    $command"

machine 0
try "$root/tools/deps" fuzz </dev/null
check "a group: only that" test "$(sed -n 's/.*recommends \(.*\) frontend.*/\1/p' "$work/calls")" = "clang libclang-rt-14-dev"
try "$root/tools/deps" nonsense </dev/null
check "unknown group: exit 2" test "$status" = 2
try "$root/tools/deps" --nonsense </dev/null
check "unknown option: exit 2" test "$status" = 2

# A checkout in a folder with blanks, and what `make` alone says there without a compiler.
mkdir -p "$area/tools"
cp "$root/tools/deps" "$root/tools/packages" "$root/tools/build" "$area/tools/"
cp "$root/Makefile" "$area/"
host_programs make
machine 1000 $(printf '%s\n' $all | grep -vx meson)
try make -C "$area"
check "make: fails" test "$status" != 0
check "make: installs nothing" test ! -s "$work/calls"
check "make: names what is missing" grep -q 'missing: meson' "$work/err"
check "make: names the command" grep -qF "apt-get install -y --no-install-recommends meson" "$work/err"
try make -C "$area" deps
check "make deps: the script's status 3 shows" grep -q 'deps\] Error 3' "$work/err"
finish
