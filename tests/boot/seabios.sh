#!/bin/sh
# Debian's SeaBIOS, with what it says on the serial port: it starts, boots a sector of ours from the first of two
# virtio disks in real and in virtual time, and says so when there is none to boot;
# its text is on the VGA's screen too.
# usage: seabios.sh TRINE
trine=$1
. "$(dirname -- "$0")/lib.sh"
[ -f /usr/share/seabios/bios-256k.bin ] || { echo "SeaBIOS is not installed (package seabios)" && exit 77; }
# mov $0x10, %eax; mov $0xf4, %dx; out %eax, %dx
{ printf '\146\270\020\000\000\000\272\364\000\146\357\364'; head -c 498 /dev/zero; printf '\125\252'; } >"$work/good"
truncate -s 1M "$work/good" "$work/blank"
for time in real virtual; do
	"$trine" run --time $time --memory 64M --disk "$work/good" --disk "$work/blank" --debug-exit --max-time 60 </dev/null >"$work/out" 2>&1
	status=$?
	[ $status = 33 ] || fail "$time: exit status $status: $(tail -n 5 "$work/out")"
	grep -q 'SeaBIOS (version' "$work/out" || fail "no text on the serial port"
done
"$trine" run --memory 64M --cpus 2 --disk "$work/blank" --max-time 60 --screenshot "$work/shot.png" </dev/null >"$work/out" 2>&1 &
pid=$!
for second in $(seq 50); do
	grep -q 'No bootable device' "$work/out" && break
	sleep 1
done
kill -TERM $pid
wait $pid
grep -q 'Boot failed: not a bootable disk' "$work/out" || fail "a blank disk: $(tail -n 5 "$work/out")"
# Text on the screen: 720x400, a few thousand pixels of it lit.
python3 - "$work/shot.png" <<'END' || fail "the screenshot"
import struct, sys, zlib
data = open(sys.argv[1], "rb").read()
assert data[:8] == b"\x89PNG\r\n\x1a\n"
width, height, depth, kind = struct.unpack(">IIBB", data[16:26])
n = struct.unpack(">I", data[33:37])[0]
assert data[37:41] == b"IDAT" and struct.unpack(">I", data[41 + n:45 + n])[0] == zlib.crc32(data[37:41 + n])
raw = zlib.decompress(data[41:41 + n])
lit = sum(1 for i in range(0, len(raw)) if i % (3 * width + 1) and raw[i] > 100)
print(width, height, lit)
assert (width, height, depth, kind) == (720, 400, 8, 2) and 2000 < lit < 100000
END
