#!/bin/sh
# Our own firmware on ENGINE: ends with status 33. Then images that are none.
# usage: firmware.sh TRINE IMAGE ENGINE
trine=$1 image=$2 engine=$3
. "$(dirname -- "$0")/lib.sh"
"$trine" run --engine "$engine" --firmware "$image" --memory 4M --debug-exit --max-time 30 --quiet </dev/null
status=$?
[ $status = 33 ] || fail "check $(((status - 1) / 2)) failed (exit status $status)"
refuse() { # TEXT FILE
	"$trine" run --firmware "$2" --max-time 10 </dev/null >"$work/out" 2>&1
	status=$?
	[ $status = 3 ] && grep -qF "$1" "$work/out" || fail "$2: status $status: $(cat "$work/out")"
}
head -c 65535 "$image" >"$work/odd"
head -c 4096 "$image" >"$work/short"
: >"$work/empty"
truncate -s 17M "$work/large"
refuse 'not a firmware image: has 65535 bytes' "$work/odd"
refuse 'not a firmware image: has 4096 bytes' "$work/short"
refuse 'not a firmware image: has 17825792 bytes' "$work/large"
refuse 'empty' "$work/empty"
refuse 'is a directory' "$work"
refuse 'No such file' "$work/none"
