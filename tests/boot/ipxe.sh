#!/bin/sh
# iPXE's disc: ISOLINUX loads it, it finds the virtio network by itself, and gets its address by DHCP.
# usage: ipxe.sh TRINE [ENGINE]
trine=$1 engine=${2:-auto}
. "$(dirname -- "$0")/lib.sh"
for file in /usr/share/seabios/bios-256k.bin /usr/lib/ipxe/ipxe.iso; do
	[ -f $file ] || { echo "$file is missing (packages seabios ipxe)" && exit 77; }
done
"$trine" run --engine "$engine" --memory 128M --cdrom /usr/lib/ipxe/ipxe.iso --net user --max-time 250 </dev/null >"$work/out" 2>&1 &
pid=$!
trap 'kill $pid 2>/dev/null; rm -rf "$work"' EXIT
for second in $(seq 240); do
	grep -aq 'No more network devices' "$work/out" && break
	sleep 1
done
tr -d '\r' <"$work/out" | tail -n 15
for line in 'using virtio-net on 0000:00:03.0' 'Configuring (net0 52:54:00:12:34:56)\.*.* ok' 'net0: 10.0.2.15/255.255.255.0 gw 10.0.2.2'; do
	tr -d '\r' <"$work/out" | grep -aq "$line" || fail "no line: $line"
done
