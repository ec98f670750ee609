#!/bin/sh
# A tap and a block device, whose system calls are others than those of libslirp and of files, under the sandbox: Debian fetches a file from the
# host and hands it back over the tap, and makes, discards and writes on the device. As root, and as a user without a capability to
# whom the tap and the device belong. All of it in network and mount namespaces of its own; the device is a loop device.
# usage: confine_tap.sh TRINE SOURCE-ROOT ENGINE
trine=$1 root=$2 engine=$3
. "$(dirname -- "$0")/lib.sh"
need_debian
need_engine "$engine"
no_leak_search
for program in ip losetup unshare setpriv python3 mke2fs; do
	command -v $program >/dev/null || { echo "$program is not installed (packages iproute2, mount, util-linux, python3, e2fsprogs)" && exit 77; }
done
[ "$(id -u)" = 0 ] || { echo "only root makes loop devices, and taps that belong to others" && exit 77; }
if [ -z "${TRINE_TAP_INSIDE-}" ]; then
	rm -rf "$work"
	unshare -n -m true 2>/dev/null || { echo "this kernel has no network or mount namespaces" && exit 77; }
	exec env TRINE_TAP_INSIDE=1 unshare -n -m sh "$0" "$@"
fi
[ -c /dev/net/tun ] || { echo "this kernel has no taps: /dev/net/tun is not there" && exit 77; }

# What every Debian has: /dev/net/tun for all. Here it may be root's alone.
mount -t tmpfs -o mode=755 tmpfs "$work" && mkdir "$work/www" "$work/out" && chmod 777 "$work/out" || fail "tmpfs"
mknod -m 666 "$work/tun" c 10 200 && mount --bind "$work/tun" /dev/net/tun || fail "/dev/net/tun"
device=
server=
pid=
trap '[ -z "$server" ] || kill $server; [ -z "$pid" ] || kill $pid; [ -z "$device" ] || losetup -d $device; umount /dev/net/tun "$work"; rm -rf "$work"' EXIT

cat >"$work/tap" <<'END'
virtio
ip link set eth0 up
ip address add 10.9.9.2/24 dev eth0
wget -q -O /tmp/file http://10.9.9.1:8000/file && echo "got $(md5sum </tmp/file)"
mount -t ext4 /dev/vda /root && cat /root/hello && cp /tmp/file /root/file && sync && fstrim -v /root
echo 3 >/proc/sys/vm/drop_caches
echo "disk $(md5sum </root/file)"
umount /root
mkdir /tmp/www && mv /tmp/file /tmp/www/back
httpd -h /tmp/www -p 80
echo serving
until [ -f /tmp/www/done ]; do nc -l -p 81 -e sh -c 'read word; >/tmp/www/done' || break; done
END
"$root/tools/guest/extend" "$work/initrd" "$work/tap" || exit
cp "$trine" "$work/trine" && cp "$cache/vmlinuz" "$work" && chmod 644 "$work/vmlinuz" "$work/initrd" || fail "cp"
seq 1 300000 >"$work/www/file"
sum=$(md5sum <"$work/www/file")
mkdir "$work/folder" && echo hello-device >"$work/folder/hello"

# USER NAME COMMAND...: the tap NAME and the device belong to USER, who runs Trine by COMMAND.
session() {
	user=$1 name=$2
	shift 2
	ip link set lo up && ip tuntap add dev "$name" mode tap user "$user" && ip address add 10.9.9.1/24 dev "$name" && ip link set "$name" up || fail "tap"
	rm -f "$work/image" && "$root/tools/mkdisk" "$work/image" 32M "$work/folder" || fail "mkdisk"
	device=$(losetup -f --show "$work/image") || { device= && echo "no loop devices here" && exit 77; }
	rm -f "$work/disk" && mknod -m 600 "$work/disk" b "$((0x$(stat -c %t "$device")))" "$((0x$(stat -c %T "$device")))" && chown "$user" "$work/disk" || fail "device"
	python3 -m http.server --bind 10.9.9.1 --directory "$work/www" 8000 >/dev/null 2>&1 &
	server=$!
	rm -f "$work/out/stats"
	(cd "$work" && exec "$@" ./trine run --engine "$engine" --kernel vmlinuz --initrd initrd --memory 256M --sandbox on --net "tap=$name" --disk "$work/disk" \
		--append "console=ttyS0 loglevel=5 trine.script=tap" --max-time $((200 * slower))) </dev/null >"$work/out/log" 2>&1 &
	pid=$!
	until grep -q '^serving' "$work/out/log"; do
		sleep 0.2
		kill -0 $pid 2>/dev/null || { tail -n 20 "$work/out/log" && pid= && fail "$user: the guest does not serve"; }
	done
	for thread in /proc/$pid/task/*; do
		grep -q '^Seccomp:.2$' "$thread/status" || fail "$user: $(cat "$thread/comm") is not confined"
	done
	[ "$(stat -c %u /proc/$pid)" = "$(id -u "$user")" ] || fail "$user: it is another's process"
	# Each of them is its owner's, and this VM's, alone.
	second=$("$work/trine" run --kernel "$work/vmlinuz" --net "tap=$name" --max-time 5 2>&1 </dev/null)
	[ "$second" = "trine: tap $name: Device or resource busy" ] || fail "$user: a second VM at the tap: $second"
	second=$("$work/trine" run --kernel "$work/vmlinuz" --disk "$work/disk" --max-time 5 2>&1 </dev/null)
	[ "$second" = "trine: $work/disk: is in use: mounted, or another virtual machine's" ] || fail "$user: a second VM at the device: $second"
	python3 -c 'import socket, sys, urllib.request
sys.stdout.buffer.write(urllib.request.urlopen("http://10.9.9.2/back", timeout=100).read())
socket.create_connection(("10.9.9.2", 81), timeout=100).sendall(b"done\n")' >"$work/back" || fail "$user: the guest cannot be reached"
	wait $pid
	status=$?
	pid=
	tr -d '\r' <"$work/out/log" >"$work/text"
	tail -n 8 "$work/text"
	[ "$status" = 0 ] || fail "$user: exit status $status"
	for line in "got $sum" hello-device "disk $sum"; do grep -qx "$line" "$work/text" || fail "$user: no line: $line"; done
	grep -q 'bytes.*trimmed' "$work/text" || fail "$user: nothing was discarded"
	[ "$(md5sum <"$work/back")" = "$sum" ] || fail "$user: the file came back otherwise"
	kill $server
	wait $server 2>/dev/null
	server=
	losetup -d "$device" && device=
	e2fsck -fn "$work/image" >/dev/null 2>&1 || fail "$user: the file system is damaged"
	debugfs -R 'cat file' "$work/image" 2>/dev/null | md5sum | grep -q "$sum" || fail "$user: what was written is not on the device"
	ip link delete "$name"
	echo "as $user: passed"
}

nobody="setpriv --reuid nobody --regid nogroup --clear-groups --inh-caps=-all --ambient-caps=-all --bounding-set=-all"
[ -z "${TRINE_SANITIZED-}" ] || $nobody "$work/trine" --version >"$work/out/log" 2>&1 || { tail -n 1 "$work/out/log" && echo "a sanitizer's libraries are where that user cannot read" && exit 77; }
session root trine-t0
session nobody trine-t1 $nobody
# Another's tap.
ip tuntap add dev trine-t2 mode tap user root || fail "tap"
said=$(cd "$work" && setpriv --reuid nobody --regid nogroup --clear-groups --bounding-set=-all --inh-caps=-all ./trine run --kernel vmlinuz --net tap=trine-t2 2>&1 </dev/null)
[ $? = 3 ] && [ "$said" = "trine: tap trine-t2: Operation not permitted" ] || fail "another's tap: $said"
