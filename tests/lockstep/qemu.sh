#!/bin/sh
# The outside judge: QEMU's TCG and Trine in single step over the start of a guest, without a difference; and with one, when the guests are not the same.
# usage: qemu.sh TRINE IMAGE TOOL
trine=$1 image=$2 tool=$3
command -v qemu-system-x86_64 >/dev/null || { echo "qemu-system-x86_64 is not installed" && exit 77; }
"$tool" --steps 600 "$trine" "$image" || { echo "FAILED: exit status $?" && exit 1; }
"$tool" --steps 5 "$trine" /dev/null 2>/dev/null && echo "FAILED: /dev/null is no guest" && exit 1
exit 0
