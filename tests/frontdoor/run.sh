#!/bin/sh
# tools/run with a trine of our own that writes down how it was called: terminals, pipes, markers, exit statuses.
. "$(dirname -- "$0")/lib.sh"

host_programs sh dirname mktemp rm timeout tee cat grep tr stty sleep head env
mkdir -p "$area/tools/guest" "$area/build"
cp "$root/tools/run" "$area/tools/run"
cat >"$area/tools/guest/prepare" <<'EOF2'
#!/bin/sh
echo "$HOME/the guest"
EOF2
cat >"$area/build/trine" <<'EOF2'
#!/bin/sh
for word; do printf '%s\n' "$word"; done >"$TRINE_TEST_WORK/calls"
head -n 1 >"$TRINE_TEST_WORK/input"
[ -t 1 ] && echo "on a terminal"
case $FAKE in
marker) printf 'hello\r\ntrine-smoke-ok\r\n' ;;
late) echo hello && sleep 0.3 && echo trine-smoke-ok && : >"$TRINE_TEST_WORK/finished" ;;
inside) echo 'not trine-smoke-ok either' ;;
esac
exit "${FAKE_STATUS-0}"
EOF2
chmod +x "$area/tools/guest/prepare" "$area/build/trine"
run="$area/tools/run"
passed_after() { # OPTION VALUE: trine was called with them, in this order
	grep -A 1 -Fx -- "$1" "$work/calls" | tail -n 1 | grep -qFx -- "$2"
}
append_has() { grep -A 1 -x -- --append "$work/calls" | tail -n 1 | grep -qw -- "$1"; }
append_lacks() { ! append_has "$1"; }

try env FAKE=marker "$run" </dev/null
check "marker: exit 0" test "$status" = 0
check "marker: what the guest says is seen" grep -q hello "$work/out"
check "the kernel" passed_after --kernel "$work/home/the guest/vmlinuz"
check "the initramfs" passed_after --initrd "$work/home/the guest/initramfs.cpio"
check "the time limit" passed_after --max-time 120
check "the script" append_has trine.script=smoke
check "TERM unset" append_lacks TERM
try sh -c 'printf "poweroff\nmore\n" | FAKE=marker "$1"' - "$run"
check "a pipe: exit 0" test "$status" = 0
check "a pipe: is not the guest's input" test ! -s "$work/input"
try sh -c 'FAKE=marker "$1" <&-' - "$run"
check "standard input closed: exit 0" test "$status" = 0
try env FAKE=marker TERM=xterm-256color "$run" </dev/null
check "TERM is handed on" append_has TERM=xterm-256color
try env FAKE=marker TERM='x y"; z' "$run" </dev/null
check "TERM is not handed on when it is no name" append_lacks TERM
try env FAKE=none "$run" </dev/null
check "no marker: exit 1" test "$status" = 1
check "no marker: says so" grep -q 'without its marker' "$work/err"
try env FAKE=inside "$run" </dev/null
check "marker inside a line: exit 1" test "$status" = 1
try env FAKE=none FAKE_STATUS=124 "$run" </dev/null
check "no marker: trine's status" test "$status" = 124
try env FAKE=marker FAKE_STATUS=1 "$run" </dev/null
check "marker, then a reset: trine's status" test "$status" = 1
rm -f "$work/finished"
try sh -c 'FAKE=late "$1" </dev/null | head -n 1' - "$run"
check "a reader that leaves: the session ends well" test -e "$work/finished"
try env FAKE=marker TRINE_RUN_OPTIONS="--memory 1G" "$run" </dev/null
check "more options" passed_after --memory 1G
try env FAKE=marker "$run" "$work/no trine" </dev/null
check "no trine: fails" test "$status" != 0

if [ -x "$(env which python3)" ]; then
	cat >"$work/terminal.py" <<'EOF2'
import fcntl, os, pty, struct, sys, termios
pid, fd = pty.fork()
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
	check "terminal: trine's status, no marker asked" test "$status" = 7
	check "terminal: it is trine's" grep -q "on a terminal" "$work/out"
	check "terminal: what is typed is trine's" grep -qx typed "$work/input"
	check "terminal: no script" append_lacks trine.script=smoke
	check "terminal: its size" append_has trine.tty=40x132
	check "terminal: its type" append_has TERM=vt220
fi
finish
