#!/bin/sh
# Runs one image of guest/ and asserts its exit status.
# usage: guest.sh TRINE IMAGE STATUS [OPTION]...
trine=$1 image=$2 want=$3
shift 3
. "$(dirname -- "$0")/lib.sh"
"$trine" run --kernel "$image" --debug-exit --memory 64M --quiet --stats "$work/stats" "$@" </dev/null >"$work/out" 2>&1
status=$?
tail -n 40 "$work/out"
[ "$status" = "$want" ] || fail "exit status $status, not $want"
case " $* " in
*" --engine bt "*) expect "host faults in translated code that are not the guest's" == 0 "$(stat_of "$work/stats" stray_faults)" ;;
esac
! grep -q '^not ok' "$work/out"
