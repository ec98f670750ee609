#!/bin/sh
# A shell that waits costs next to nothing: CPU time of the monitor over 30 s, after the boot has settled.
# usage: debian_idle.sh TRINE [OPTION]...
trine=$1
shift
. "$(dirname -- "$0")/lib.sh"
need_debian
mkfifo "$work/in"
debian --append "console=ttyS0 quiet" --max-time $((300 * slower)) "$@" <"$work/in" >"$work/out" 2>&1 &
pid=$!
exec 3>"$work/in"
waited=0
until grep -q 'trine:~#' "$work/out"; do
	sleep 1
	waited=$((waited + 1))
	[ "$waited" -lt $((200 * slower)) ] || fail "no prompt"
done
sleep 8
ticks() { awk '{ print $14 + $15 }' "/proc/$pid/stat"; }
before=$(ticks)
sleep 30
after=$(ticks)
echo poweroff >&3
wait "$pid" || fail "exit status $?"
expect "percent of a core" '<=' 0.5 "$(awk -v t="$((after - before))" -v hz="$(getconf CLK_TCK)" 'BEGIN { print 100 * t / hz / 30 }')"
