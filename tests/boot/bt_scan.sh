#!/bin/sh
# Everything that the translator emits, decoded: none of it enters the host's kernel, moves extended state or reaches segments and keys.
# usage: bt_scan.sh TRINE debian | TRINE IMAGE...
trine=$1
shift
. "$(dirname -- "$0")/lib.sh"
need_engine bt
look() { # NAME LEAST
	[ "$(stat_of "$work/stats" forbidden)" = 0 ] || fail "$1: $(stat_of "$work/stats" forbidden) instructions that must not be there"
	expect "$1: instructions decoded" '>=' "$2" "$(stat_of "$work/stats" scanned)"
}
if [ "$1" = debian ]; then
	need_debian
	debian --append "console=ttyS0 trine.script=smoke" --engine bt --bt-scan --max-time $((200 * slower)) --stats "$work/stats" </dev/null >"$work/out" 2>&1 ||
		fail "exit status $?: $(tail -n 3 "$work/out")"
	look debian 1000000
	exit 0
fi
for image; do
	name=${image##*/}
	"$trine" run --kernel "$image" --debug-exit --memory 64M --quiet --testdev --engine bt --bt-scan --max-time $((60 * slower)) --append n=1000 \
		--stats "$work/stats" </dev/null >"$work/out" 2>&1
	status=$?
	[ $status != 124 ] && [ $status != 3 ] && [ $status != 4 ] || fail "$name: exit status $status: $(tail -n 3 "$work/out")"
	look "$name" 100
done
