#!/bin/sh
# usage: check.sh BOOT GUEST    Runs the example on its guest, and checks its words and its exit status.
out=$("$1" "$2")
status=$?
want='hello from the guest
the guest ended: debug exit with value 21'
[ "$out" = "$want" ] && [ "$status" -eq 43 ] && exit 0
printf 'exit status %s, not 43; it said:\n%s\n' "$status" "$out"
exit 1
