#!/bin/sh
# tools/guest/prepare against an apt-get of our own, which hands out two tiny packages, dies midway, or has no network.
. "$(dirname -- "$0")/lib.sh"

if ! [ -x "$(env which dpkg-deb)" ] || ! [ -x "$(env which cpio)" ]; then
	echo "dpkg-deb or cpio is missing"
	exit 77
fi
host_programs sh sed grep cut tr cat dirname mktemp rm mv cp ln mkdir chmod touch find sort head tail sha256sum flock sync dpkg-deb cpio tar sleep env setsid

# Two packages: a kernel and a busybox whose applets are two.
mkdir -p "$work/k/DEBIAN" "$work/k/boot" "$work/b/DEBIAN" "$work/b/bin" "$work/mirror"
head -c 100000 /dev/urandom >"$work/k/boot/vmlinuz-6.1.0-9-cloud-amd64"
echo CONFIG_X=y >"$work/k/boot/config-6.1.0-9-cloud-amd64"
printf 'Package: linux-image-6.1.0-9-cloud-amd64\nVersion: 6.1.9-1\nArchitecture: all\nMaintainer: a\nDescription: k\n' >"$work/k/DEBIAN/control"
printf 'Package: busybox-static\nVersion: 1.35\nArchitecture: all\nMaintainer: a\nDescription: b\n' >"$work/b/DEBIAN/control"
printf '#!/bin/sh\nprintf "bin/busybox\\nbin/sh\\nsbin/init\\n"\n' >"$work/b/bin/busybox"
chmod 755 "$work/b/bin/busybox"
dpkg-deb -b "$work/k" "$work/mirror/linux-image-6.1.0-9-cloud-amd64.deb" >/dev/null
dpkg-deb -b "$work/b" "$work/mirror/busybox-static.deb" >/dev/null

fake apt-cache <<'EOF2'
echo "apt-cache" >>"$TRINE_TEST_WORK/calls"
[ -e "$TRINE_TEST_WORK/no-lists" ] && exit 100
printf 'Package: linux-image-cloud-amd64\nDepends: linux-image-6.1.0-9-cloud-amd64 (= 6.1.9-1)\n'
EOF2
# What $TRINE_TEST_WORK/apt says: well, offline, half (half a file, exit 100), hang (half a file, then waits).
fake apt-get <<'EOF2'
mode=$(cat "$TRINE_TEST_WORK/apt")
echo "apt-get $*" >>"$TRINE_TEST_WORK/calls"
case " $* " in
*" update "*)
	[ "$mode" = offline ] && exit 100
	rm -f "$TRINE_TEST_WORK/no-lists"
	exit 0
	;;
esac
for package; do :; done
file=${package%%=*}.deb
case $mode in
well) cp "$TRINE_TEST_WORK/mirror/$file" . ;;
offline) echo "E: Failed to fetch" >&2 && exit 100 ;;
half | hang)
	head -c 500 "$TRINE_TEST_WORK/mirror/$file" >"$file"
	[ "$mode" = half ] && exit 100
	: >"$TRINE_TEST_WORK/hanging"
	exec sleep 60
	;;
lies) head -c 500 "$TRINE_TEST_WORK/mirror/$file" >"$file" ;;
esac
EOF2

mkdir "$area/tools"
cp -r "$root/tools/guest" "$area/tools/guest"
prepare="$area/tools/guest/prepare"
cache="$work/home/.cache/trine"
guest="$cache/guest"
sums() { (cd "$guest" && sed -n 's/^sha256=//p' manifest | sha256sum -c --status); }
nothing_made() { ! [ -e "$guest/vmlinuz" ] && ! [ -e "$guest/initramfs.cpio" ] && ! [ -e "$guest/manifest" ]; }
no_leftovers() { [ -z "$(ls "$cache" | grep work)" ]; }

for mode in offline half lies; do
	echo $mode >"$work/apt"
	try "$prepare" </dev/null
	check "$mode, empty cache: exit 3" test "$status" = 3
	check "$mode, empty cache: nothing made" nothing_made
	check "$mode, empty cache: nothing left over" no_leftovers
	check "$mode, empty cache: says what to type" grep -q 'type: tools/guest/prepare' "$work/err"
done

# Ended from outside in the middle of a download.
echo hang >"$work/apt"
rm -f "$work/hanging"
env -i PATH="$fakes" HOME="$work/home" TRINE_TEST_WORK="$work" setsid "$prepare" </dev/null >/dev/null 2>&1 &
pid=$!
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do [ -e "$work/hanging" ] || sleep 0.1; done
check "killed: it was downloading" test -e "$work/hanging"
kill -KILL "-$pid"
wait "$pid" 2>/dev/null
check "killed: nothing made" nothing_made

echo well >"$work/apt"
try "$prepare" </dev/null
check "after that: exit 0" test "$status" = 0
check "after that: whole" sums
check "after that: nothing left over" no_leftovers
check "kernel as packaged" cmp "$work/k/boot/vmlinuz-6.1.0-9-cloud-amd64" "$guest/vmlinuz"
check "manifest names the release" grep -qx 'kernel_release=6.1.0-9-cloud-amd64' "$guest/manifest"
cpio -t --quiet <"$guest/initramfs.cpio" >"$work/names"
for name in init bin/busybox bin/sh sbin/init etc/session etc/shell scripts/smoke scripts/bench proc dev; do
	check "initramfs has $name" grep -qx "$name" "$work/names"
done
check "init can be executed" sh -c 'cpio -tv --quiet <"$1" | grep -q "^-rwxr-xr-x .* root .* init$"' - "$guest/initramfs.cpio"
cp "$guest/initramfs.cpio" "$work/first.cpio"

echo offline >"$work/apt"
try "$prepare" </dev/null
check "warm, offline: exit 0" test "$status" = 0
check "warm, offline: apt not asked" test ! -s "$work/calls"

echo garbage >>"$guest/vmlinuz"
try "$prepare" </dev/null
check "damaged kernel, offline: made again" sums
rm "$guest/initramfs.cpio"
try "$prepare" </dev/null
check "missing initramfs, offline: made again" cmp "$work/first.cpio" "$guest/initramfs.cpio"
echo 'echo more' >"$area/tools/guest/scripts/more"
try "$prepare" </dev/null
check "new script, offline: exit 0" test "$status" = 0
cpio -t --quiet <"$guest/initramfs.cpio" >"$work/names"
check "new script, offline: in the initramfs" grep -qx scripts/more "$work/names"
try "$prepare" --refresh </dev/null
check "refresh, offline: exit 3" test "$status" = 3
check "refresh, offline: the old guest stays" sums

for deb in "$cache"/deb/*; do echo garbage >"$deb"; done
echo garbage >>"$guest/vmlinuz"
echo well >"$work/apt"
: >"$work/no-lists"
try "$prepare" </dev/null
check "all damaged, no lists: fetches them, exit 0" test "$status" = 0
check "all damaged, no lists: whole" sums
check "lists are not the system's" grep -q 'Dir::State::Lists=.*work.* update' "$work/calls"

rm -rf "$cache"
try sh -c '"$1" & "$1"; a=$?; wait $! && exit $a' - "$prepare" </dev/null
check "two at once: exit 0" test "$status" = 0
check "two at once: one download" test "$(grep -c ' download ' "$work/calls")" = 2

other="$work/another folder"
try env TRINE_CACHE="$other/c" "$prepare" </dev/null
check "TRINE_CACHE with blanks: exit 0" test "$status" = 0
check "TRINE_CACHE with blanks: there" test -f "$other/c/guest/manifest"
try env TRINE_CACHE="$other/c" "$prepare" --path
check "--path" test "$(cat "$work/out")" = "$other/c/guest"
: >"$work/a file"
try env TRINE_CACHE="$work/a file" "$prepare" </dev/null
check "cache is a file: exit 3" test "$status" = 3
try "$prepare" --nonsense
check "unknown option: exit 2" test "$status" = 2
finish
