#!/bin/sh
# guest.sh on --engine kvm, hardware or not. Without hardware the host's kernel emulates ring 0 inexactly, so only guests that ask little
# of it are run so; all of them: nested.sh.
# usage: guest_kvm.sh TRINE IMAGE STATUS [OPTION]...
[ -r /dev/kvm ] && [ -w /dev/kvm ] || { echo "no /dev/kvm here" && exit 77; }
kvm=$("$1" engines | grep '^kvm:')
case $kvm in
'kvm: usable' | *'no hardware behind'*) ;;
*) echo "$kvm" && exit 77 ;;
esac
trine=$1 image=$2 want=$3
shift 3
exec sh "$(dirname -- "$0")/guest.sh" "$trine" "$image" "$want" --engine kvm "$@"
