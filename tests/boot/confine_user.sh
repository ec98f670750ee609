#!/bin/sh
# Debian as an ordinary user has it who may do nothing: no capabilities, no /dev/kvm.
# usage: confine_user.sh TRINE ENGINE
trine=$1 engine=$2
. "$(dirname -- "$0")/lib.sh"
need_debian
need_engine "$engine"
no_leak_search
# The build and the cache may be where nobody else may look.
chmod 755 "$work"
cp "$trine" "$work/trine" && cp "$cache/vmlinuz" "$cache/initramfs.cpio" "$work" || fail "cp"
chmod 644 "$work/vmlinuz" "$work/initramfs.cpio"
mkdir -m 777 "$work/out"
user=
if [ "$(id -u)" = 0 ]; then
	user="setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all --ambient-caps=-all --bounding-set=-all"
fi
caps=$($user sed -n 's/^Cap\(Eff\|Prm\|Bnd\):\t//p' /proc/self/status | tr '\n' ' ')
echo "user $($user id -u), capabilities (permitted, effective, bounding) $caps"
case $caps in "0000000000000000 0000000000000000 "*) ;; *) fail "that user has capabilities: $caps" ;; esac
$user test ! -w /dev/kvm || { echo "this user may use /dev/kvm" && exit 77; }
[ -z "${TRINE_SANITIZED-}" ] || $user "$work/trine" --version >"$work/log" 2>&1 || { tail -n 1 "$work/log" && echo "a sanitizer's libraries are where that user cannot read" && exit 77; }
(cd "$work" && $user ./trine run --engine "$engine" --kernel vmlinuz --initrd initramfs.cpio --memory 256M --sandbox on \
	--append "console=ttyS0 trine.script=smoke" --max-time $((200 * slower)) --stats out/stats) </dev/null >"$work/log" 2>&1
status=$?
tail -n 5 "$work/log"
[ "$status" = 0 ] || fail "exit status $status"
tr -d '\r' <"$work/log" | grep -qx trine-smoke-ok || fail "no marker"
[ "$(stat_of "$work/out/stats" engine)" = "$engine" ] || fail "it ran on another engine"
