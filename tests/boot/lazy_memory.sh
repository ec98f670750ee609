#!/bin/sh
# A 64 GiB guest starts, runs and ends without its memory ever being there.
# usage: lazy_memory.sh TRINE HELLO-IMAGE
trine=$1
. "$(dirname -- "$0")/lib.sh"
"$trine" run --kernel "$2" --debug-exit --memory 64G --quiet --max-time 60 --stats "$work/stats" </dev/null
[ $? = 33 ] || fail "it did not run"
expect "guest bytes" == 68719476736 "$(stat_of "$work/stats" guest_bytes)"
expect "resident bytes" '<' 16777216 "$(stat_of "$work/stats" resident_bytes)"
