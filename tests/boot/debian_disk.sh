#!/bin/sh
# A whole Debian from its own disk: SeaBIOS, GRUB, kernel, systemd to a login prompt on the serial port; ssh into it through hostfwd; the power
# button over QMP, and a clean shutdown. The image is made by tools/mkdebian, once, in the cache; what the guest writes is thrown away.
# usage: debian_disk.sh TRINE SOURCE-ROOT [ENGINE [BUS]]
trine=$1 root=$2 engine=${3:-auto} bus=${4:-virtio}
. "$(dirname -- "$0")/lib.sh"
image=$cache/debian.img
for program in ssh python3; do
	command -v $program >/dev/null || { echo "$program is not installed" && exit 77; }
done
exec 9>"$cache/debian.lock" && flock 9 || exit 1 # one of the tests that want it makes it
[ -f "$image" ] || "$root/tools/mkdebian" "$image" >"$work/log" 2>&1 9>&- || { echo "no $image: $(tail -n 1 "$work/log")" && exit 77; }
exec 9>&-
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$trine" run --engine "$engine" --memory 512M --disk "$image,snapshot,bus=$bus" --net "user,hostfwd=tcp:127.0.0.1:$port-:22" --qmp "unix:$work/qmp" \
	--max-time 1500 --stats "$work/stats" </dev/null >"$work/out" 2>&1 &
pid=$!
trap 'kill $pid 2>/dev/null; rm -rf "$work"' EXIT
# TEXT SECONDS: until TEXT is in the output.
await() {
	for second in $(seq "$2"); do
		grep -aq "$1" "$work/out" && return
		kill -0 $pid 2>/dev/null || break
		sleep 1
	done
	tail -n 20 "$work/out" | tr -d '\r'
	fail "no '$1'"
}
start=$(date +%s)
await 'trine login:' 1400
echo "login prompt after $(($(date +%s) - start)) s"
# The prompt may be there before the network is.
for attempt in $(seq 30); do
	ssh -i "$image.key" -p "$port" -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ConnectTimeout=60 root@127.0.0.1 \
		'echo "kernel $(uname -r) on $(findmnt -no SOURCE /)"; systemctl is-system-running --wait; echo "failed: $(systemctl --failed --no-legend | wc -l)"; cat /sys/class/dmi/id/sys_vendor' \
		</dev/null >"$work/ssh" 2>&1 && break
	sleep 3
done
cat "$work/ssh"
case $bus in virtio) disk=vda1 ;; *) disk=sda1 ;; esac
grep -q "^kernel .* on /dev/$disk" "$work/ssh" && grep -qx 'failed: 0' "$work/ssh" && grep -qx Trine "$work/ssh" || fail "what ssh said"
python3 - "$work/qmp" <<'END' || fail "QMP"
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b'{"execute": "qmp_capabilities"} {"execute": "system_powerdown"}')
s.settimeout(300)
said = b""
while b"SHUTDOWN" not in said:
    more = s.recv(4096)
    if not more:
        sys.exit("gone before SHUTDOWN: %r" % said)
    said += more
if b'"reason": "guest-shutdown"' not in said:
    sys.exit("no shutdown by the guest: %r" % said)
END
wait $pid
status=$?
[ $status = 0 ] || fail "exit status $status"
grep -aq 'reboot: Power down' "$work/out" || fail "no orderly end"
echo "$(stat_of "$work/stats" engine): $(stat_of "$work/stats" guest_instructions) instructions, $(stat_of "$work/stats" wall_s) s"
