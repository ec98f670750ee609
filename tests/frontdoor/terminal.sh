#!/bin/sh
# tools/run on a terminal, with the trine of run.sh.
. "$(dirname -- "$0")/trine.sh"

cat >"$work/terminal.py" <<'EOF2'
import fcntl, os, pty, struct, sys, termios
try:
    pid, fd = pty.fork()
except OSError as error:
    sys.exit(f"no terminal to be had: {error}")
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 132, 0, 0))
    os.execv(sys.argv[1], sys.argv[1:])
os.write(fd, b"typed\n")
while True:
    try:
        data = os.read(fd, 1000)
    except OSError:
        break
    if not data:
        break
    os.write(1, data)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
EOF2
# Not through the fakes' PATH: python3 may be a wrapper that needs more.
: >"$work/calls"
HOME="$work/home" TRINE_TEST_WORK="$work" FAKE=none FAKE_STATUS=7 TERM=vt220 python3 "$work/terminal.py" "$run" >"$work/out" 2>"$work/err"
status=$?
if grep -q 'no terminal to be had' "$work/err"; then
	cat "$work/err"
	exit 77
fi
check "terminal: trine's status, no marker asked" test "$status" = 7
check "terminal: it is trine's" grep -q "on a terminal" "$work/out"
check "terminal: what is typed is trine's" grep -qx typed "$work/input"
check "terminal: no script" append_lacks trine.script=smoke
check "terminal: its size" append_has trine.tty=40x132
check "terminal: its type" append_has TERM=vt220
finish
