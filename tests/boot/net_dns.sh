#!/bin/sh
# Names on a user-mode network: what the guest asks at 10.0.2.3 goes to the server in the host's /etc/resolv.conf, which the confined
# loop reads again when that changes. In network and mount
# namespaces of its own, with two servers that know one name.
# usage: net_dns.sh TRINE SOURCE-ROOT
trine=$1 root=$2
. "$(dirname -- "$0")/lib.sh"
need_debian
for program in ip unshare python3; do
	command -v $program >/dev/null || { echo "$program is not installed (packages iproute2, util-linux, python3)" && exit 77; }
done
if [ -z "${TRINE_DNS_INSIDE-}" ]; then
	rm -rf "$work"
	user=
	[ "$(id -u)" = 0 ] || user=-r
	unshare $user -n -m true 2>/dev/null || { echo "this user may not make network and mount namespaces" && exit 77; }
	exec env TRINE_DNS_INSIDE=1 unshare $user -n -m sh "$0" "$@"
fi
cat >"$work/names" <<'END'
virtio
ip link set eth0 up
ip address add 10.0.2.15/24 dev eth0
ip route add default via 10.0.2.2
ask() { nslookup -type=a name.trine.test 10.0.2.3 2>&1 | sed -n "s/^Address: *\([0-9.]*\)$/$1 \1/p"; }
ask known
echo asked
read -r line
ask changed
echo "$line"
END
"$root/tools/guest/extend" "$work/initrd" "$work/names" || exit
# ADDRESS ANSWER: a server that gives ANSWER to every question.
cat >"$work/server.py" <<'END'
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 53))
print("bound", flush=True)
while True:
    q, who = s.recvfrom(4096)
    if b"\4name\5trine\4test" in q:
        end = q.index(b"\0", 12) + 5
        s.sendto(q[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + q[12:end] + b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton(sys.argv[2]), who)
END
servers=
trap '[ -z "$servers" ] || kill $servers; umount /etc/resolv.conf; rm -rf "$work"' EXIT
ip link set lo up && : >"$work/resolv" && mount --bind "$work/resolv" /etc/resolv.conf || fail "namespaces"
for n in 1 2; do
	python3 "$work/server.py" 127.0.0.$n 192.0.2.$n >"$work/bound.$n" &
	servers="$servers $!"
done
for n in 1 2; do
	until [ -s "$work/bound.$n" ]; do sleep 0.1 && kill -0 $servers || fail "a server does not start"; done
done
echo 'nameserver 127.0.0.1' >"$work/resolv"
mkfifo "$work/keys"
"$trine" run --kernel "$cache/vmlinuz" --initrd "$work/initrd" --memory 256M \
	--append "console=ttyS0 loglevel=5 trine.script=names" --net user --max-time 280 <"$work/keys" >"$work/out" 2>&1 &
pid=$!
exec 3>"$work/keys"
await_line $pid '^asked' 250 "the guest does not ask"
echo 'nameserver 127.0.0.2' >"$work/resolv"
sleep 2 # libslirp looks again after a second
echo the end >&3
wait $pid
status=$?
tr -d '\r' <"$work/out" >"$work/text"
tail -n 20 "$work/text"
[ "$status" = 0 ] || fail "exit status $status"
for line in 'known 192.0.2.1' 'changed 192.0.2.2' 'the end'; do
	grep -qx "$line" "$work/text" || fail "no line: $line"
done
