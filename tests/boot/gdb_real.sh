#!/bin/sh
# The real gdb on code in real mode: a breakpoint by linear address, CS and its base, a step, a register changed; under both kinds of time.
# And clients that misbehave: garbage, a flood, a second one, one that leaves in the middle.
# usage: gdb_real.sh TRINE BIOS-IMAGE
trine=$1 image=$2
. "$(dirname -- "$0")/lib.sh"
command -v gdb >/dev/null || { echo "gdb is not installed" && exit 77; }
at() { printf '0x%s' "$(nm "$image" | sed -n "s/^0*\([0-9a-f]*\) . $1\$/\1/p")"; }

start() { # OPTION...
	rm -f "$work/gdb"
	"$trine" run --kernel "$image" --debug-exit --quiet --max-time 60 --gdb "unix:$work/gdb" "$@" </dev/null >"$work/out" 2>&1 &
	vm=$!
	for _ in $(seq 100); do [ -S "$work/gdb" ] && break; sleep 0.1; done
}

ended() { # STATUS
	wait "$vm"
	status=$?
	[ "$status" = "$1" ] || { cat "$work/out" "$work/gdb.out"; fail "exit status $status, not $1"; }
	[ ! -e "$work/gdb" ] || fail "the socket is still there"
}

for time in real virtual; do
	start --time "$time"
	cat >"$work/commands" <<-END
		set pagination off
		set confirm off
		target remote $work/gdb
		break *$(at real)
		continue
		printf "cs %x base %x linear %d\n", \$cs, \$cs_base, \$cs_base + \$rip == $(at real)
		printf "real mode %d\n", !(\$cr0 & 1)
		stepi
		printf "xor %d\n", \$rip
		delete
		break *$(at fail)
		continue
		printf "bl %x\n", \$rbx & 0xff
		set \$rbx = 0x21
		delete
		continue
	END
	timeout 50 gdb -q -nx -batch -x "$work/commands" >"$work/gdb.out" 2>&1
	for line in 'cs 1000 base 10000 linear 1' 'real mode 1' 'bl 10'; do
		grep -qx "$line" "$work/gdb.out" || { cat "$work/gdb.out"; fail "gdb did not say: $line"; }
	done
	ended 67 # (0x21 << 1) | 1
done

client() { # waits for the socket, runs the Python program on standard input with it
	timeout 40 python3 - "$work/gdb" >"$work/gdb.out" 2>&1
}
start
client <<'END' || { cat "$work/gdb.out"; fail "a misbehaving client"; }
import os, socket, sys
def connect():
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    s.settimeout(10)
    return s
def frame(body):
    return b"$" + body + b"#%02x" % (sum(body) & 255)
def ask(s, body):
    s.sendall(frame(body))
    reply = b""
    while not (len(reply) > 3 and reply[-3:-2] == b"#"):
        got = s.recv(65536)
        if not got:
            return None
        reply += got
    return reply
s = connect()
s.sendall(os.urandom(200000).replace(b"$", b"").replace(b"\3", b"").replace(b"-", b""))
assert b"T05" in ask(s, b"?")
second = connect()  # turned away
assert second.recv(1) == b""
assert b"T05" in ask(s, b"?")
for _ in range(3000):  # a flood that never reads
    try:
        s.setblocking(False)
        s.send(frame(b"m0,1000"))
    except BlockingIOError:
        break
s.close()
s = connect()
assert b"thread" in ask(s, b"?")
s.sendall(b"$m0,1")  # leaves in the middle of a packet
s.close()
END
ended 33 # the guest goes on to its end without a debugger
