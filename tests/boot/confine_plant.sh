#!/bin/sh
# A thread that does what it may not ends its VM by SIGSYS, with a word, and nothing of what it wanted happens; another VM beside it
# runs on. Without the sandbox the same thing succeeds: the double works.
# usage: confine_plant.sh TRINE DOUBLE HANG-IMAGE REFUSE-URING
trine=$1 double=$2 hang=$3 refuse=$4
. "$(dirname -- "$0")/lib.sh"
need_debian
[ -z "${TRINE_SANITIZED-}" ] || { echo "a sanitizer must be loaded before the double" && exit 77; }
# The loader splits LD_PRELOAD at blanks, as the shell does $wrapper, and the build's path may have some.
cp "$double" "$work/double.so" && double=$work/double.so
cp "$refuse" "$work/refuse-uring" && refuse=$work/refuse-uring

planted() { # THREAD ACT N OPTION...
	how="$1 $2 $3"
	shift 3
	LD_PRELOAD=$double TRINE_CONFINE_DOUBLE=$how $wrapper "$trine" run --quiet --max-time 60 "$@" </dev/null >"$work/out" 2>"$work/err"
	status=$?
}
killed() { # THREAD ACT N OPTION...
	planted "$@" --sandbox on
	echo "$1 $2: status $status, $(tail -n 1 "$work/err")"
	[ "$status" = 159 ] || fail "$1 $2: exit status $status, not 128 + SIGSYS: $(cat "$work/err")"
	grep -qx "trine: sandbox: thread $1: system call [0-9]* is not allowed" "$work/err" || fail "no word: $(cat "$work/err")"
	! grep -qE '^double:|escaped' "$work/out" "$work/err" || fail "$1 did $2"
}
wrapper=
kernel="--kernel $cache/vmlinuz --initrd $cache/initramfs.cpio --memory 256M"
# The VM beside it.
"$trine" run --sandbox on $kernel --append "console=ttyS0 trine.script=smoke" --max-time $((200 * slower)) </dev/null >"$work/beside" 2>&1 &
beside=$!
for act in execve open socket code kill fork ring; do
	killed trine-cpu0 $act 300 --engine interp $kernel --append console=ttyS0
done
for act in execve open; do
	! "$trine" engines | grep -qx "bt: usable" || killed trine-cpu0 $act 300 --engine bt $kernel --append console=ttyS0
	killed trine $act 300 $kernel --append console=ttyS0
done
# What the command line asked for, and no more.
killed trine create 300 $kernel --append console=ttyS0 --net user
killed trine socket 300 $kernel --append console=ttyS0 --qmp "unix:$work/qmp"
rm "$work/qmp"
killed trine fork 300 $kernel --append console=ttyS0 --qmp "unix:$work/qmp"
killed trine execve 300 --time virtual $kernel --append console=ttyS0
truncate -s 4M "$work/disk"
wrapper=$refuse
killed trine-disk execve 1 --kernel "$hang" --disk "$work/disk"
killed trine-disk open 1 --kernel "$hang" --disk "$work/disk"
wrapper=
# The thread that waits for signals takes a lock when one has come.
LD_PRELOAD=$double TRINE_CONFINE_DOUBLE="trine-signals execve 1" "$trine" run --sandbox on --quiet --max-time 60 --kernel "$hang" </dev/null >"$work/out" 2>"$work/err" &
pid=$!
until [ "$(cat /proc/$pid/task/*/status 2>/dev/null | grep -c '^Seccomp:.2')" = 3 ]; do
	sleep 0.1
	kill -0 $pid || fail "$(cat "$work/err")"
done
kill $pid
wait $pid
[ $? = 159 ] && grep -q '^trine: sandbox: thread trine-signals: ' "$work/err" || fail "the signals' thread: $(cat "$work/out" "$work/err")"

planted trine-cpu0 execve 300 $kernel --append console=ttyS0 --sandbox off
[ "$status" = 9 ] && grep -q 'escaped' "$work/out" || fail "without a sandbox: exit status $status: $(tail -n 3 "$work/out" "$work/err")"
planted trine-cpu0 open 300 $kernel --append "console=ttyS0 trine.script=smoke" --sandbox off
grep -q '^double: open: [0-9]* (done)' "$work/err" || fail "without a sandbox: $(cat "$work/err")"

wait $beside
status=$?
[ "$status" = 0 ] || fail "the VM beside them: exit status $status: $(tail -n 5 "$work/beside")"
tr -d '\r' <"$work/beside" | grep -qx trine-smoke-ok || fail "the VM beside them did not come to its end"
echo "the VM beside them ran to its end"
