#!/bin/sh
# A 64 GiB guest starts, runs and ends without its memory ever being there.
# usage: lazy_memory.sh TRINE HELLO-IMAGE
trine=$1
. "$(dirname -- "$0")/lib.sh"
"$trine" run --kernel "$2" --debug-exit --memory 64G --quiet --max-time 60 --stats "$work/stats" </dev/null
[ $? = 33 ] || fail "it did not run"
expect "guest bytes" == 68719476736 "$(stat_of "$work/stats" guest_bytes)"
expect "resident bytes" '<' 16777216 "$(stat_of "$work/stats" resident_bytes)"
# More than the host has is refused with a line before the guest starts, not left to the host's OOM killer.
host=$(($(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo) / 1024 / 1024 + 1))
"$trine" run --kernel "$2" --debug-exit --memory "${host}G,prealloc" --quiet </dev/null 2>"$work/err"
[ $? = 3 ] || fail "prealloc of ${host}G: exit status not 3"
grep -qxE "trine: memory $((host * 1024))M,prealloc: the host has [0-9]+M left" "$work/err" || fail "prealloc: $(cat "$work/err")"
"$trine" run --kernel "$2" --debug-exit --memory 64M,prealloc --quiet --max-time 60 --stats "$work/stats" </dev/null
[ $? = 33 ] || fail "with prealloc it did not run"
expect "resident bytes with prealloc" '>=' 67108864 "$(stat_of "$work/stats" resident_bytes)"
