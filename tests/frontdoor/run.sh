#!/bin/sh
# tools/run without a terminal, with a trine of our own that writes down how it was called: pipes, markers, exit statuses.
. "$(dirname -- "$0")/trine.sh"

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
finish
