#!/bin/sh
# Debian's kernel and its own driver on a user-mode network: an address by DHCP, a file from a server on the host, and a file to the host
# through a forwarded port. By virtio's modern registers, or by the legacy ones, whose header of a frame is shorter too.
# usage: virtio_net.sh TRINE SOURCE-ROOT modern|legacy
trine=$1 root=$2 registers=$3
. "$(dirname -- "$0")/lib.sh"
need_debian
command -v python3 >/dev/null || { echo "python3 is not installed" && exit 77; }
cat >"$work/dhcp" <<'END'
#!/bin/sh
[ "$1" = bound ] && ip address add "$ip/$mask" dev "$interface" && ip route add default via "$router" && echo "dhcp $ip $router $dns"
exit 0
END
cat >"$work/net" <<'END'
virtio
ip link set lo up
ip link set eth0 up
udhcpc -i eth0 -n -q -f -s /scripts/dhcp 2>/dev/null
port=$(sed 's/.*trine.port=\([0-9]*\).*/\1/' /proc/cmdline)
wget -q -O /tmp/file "http://10.0.2.2:$port/file" && echo "got $(md5sum </tmp/file)"
mkdir /tmp/www && mv /tmp/file /tmp/www/back
httpd -h /tmp/www -p 80
echo serving
until [ -f /tmp/www/../done ]; do
	nc -l -p 81 -e sh -c 'read word; echo "$word" >/tmp/done' || break
done
echo "word $(cat /tmp/done)"
sed -n 's/.*PCI-MSI.*virtio[0-9]-input.*/msix in use/p' /proc/interrupts | tail -n 1
echo "version 1: $(cut -c 33 /sys/class/net/eth0/device/features)"
END
chmod 755 "$work/dhcp"
mkdir "$work/www"
seq 1 300000 >"$work/www/file"
sum=$(md5sum <"$work/www/file")
# The host's server, and two ports that are free just now.
cat >"$work/server.py" <<'END'
import functools, http.server, os, socket, sys
s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[1]))
free = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
ports = [s.server_port] + [f.getsockname()[1] for f in free]
for f in free: f.close()
open(sys.argv[2] + ".new", "w").write(" ".join(map(str, ports)) + "\n")
os.rename(sys.argv[2] + ".new", sys.argv[2])
s.serve_forever()
END
python3 "$work/server.py" "$work/www" "$work/ports" >/dev/null 2>&1 &
server=$!
trap 'kill $server; rm -rf "$work"' EXIT
waited=0
until [ -s "$work/ports" ]; do
	sleep 0.2
	waited=$((waited + 1))
	[ "$waited" -lt 300 ] || fail "the host's server does not start"
done
read -r port web word <"$work/ports"
"$root/tools/guest/extend" "$work/initrd" "$work/dhcp" "$work/net" || exit
"$trine" run --kernel "$cache/vmlinuz" --initrd "$work/initrd" --memory 256M \
	--append "console=ttyS0 loglevel=5 trine.script=net trine.port=$port$(virtio_option "$registers")" \
	--net "user,hostfwd=tcp:127.0.0.1:$web-:80,hostfwd=tcp:127.0.0.1:$word-10.0.2.15:81" --max-time 280 </dev/null >"$work/out" 2>&1 &
pid=$!
await_line $pid '^serving' 250 "the guest does not serve"
python3 - "$web" "$word" <<'END' >"$work/back" || fail "the guest cannot be reached through a forwarded port"
import socket, sys, urllib.request
sys.stdout.buffer.write(urllib.request.urlopen("http://127.0.0.1:%s/back" % sys.argv[1], timeout=100).read())
with socket.create_connection(("127.0.0.1", int(sys.argv[2])), timeout=100) as s: s.sendall(b"hello\n")
END
wait $pid
status=$?
tr -d '\r' <"$work/out" >"$work/text"
tail -n 20 "$work/text"
[ "$status" = 0 ] || fail "exit status $status"
for line in 'dhcp 10.0.2.15 10.0.2.2 10.0.2.3' "got $sum" 'word hello' 'msix in use' "version 1: $(virtio_version "$registers")"; do
	grep -qx "$line" "$work/text" || fail "no line: $line"
done
[ "$(md5sum <"$work/back")" = "$sum" ] || fail "the file came back otherwise"
