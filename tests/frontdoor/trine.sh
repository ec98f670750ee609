# For the tests of tools/run: lib.sh, and in "$area" a checkout whose prepare and trine are fakes.
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
late) echo hello && sleep 0.2 && echo more && sleep 0.2 && echo trine-smoke-ok && : >"$TRINE_TEST_WORK/finished" ;;
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
