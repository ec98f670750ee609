#!/bin/sh
# Debian's kernel accounts what the host took from it: beside a busy loop on the same core about half of its time, with --pv none nothing.
# usage: steal_time.sh TRINE
trine=$1
. "$(dirname -- "$0")/lib.sh"
need_debian
[ -r /proc/thread-self/schedstat ] || { echo "the host's kernel has no /proc/thread-self/schedstat" && exit 77; }
core=$(taskset -pc $$ | sed 's/.*: //; s/[-,].*//')
taskset -c "$core" sh -c 'while :; do :; done' &
busy=$!
trap 'kill $busy 2>/dev/null; rm -rf "$work"' EXIT

until_seen() { # TEXT in the output of $name
	for i in $(seq $((300 * slower))); do
		! grep -q -- "$1" "$work/$name" || return
		sleep 0.2
	done
}
stolen() { # NAME OPTION...: hundredths of a second, of all
	name=$1
	shift
	: >"$work/$name"
	{
		until_seen '~#'
		sleep 1
		echo
		echo "head -n 1 /proc/stat; poweroff -f"
		until_seen 'Power down'
	} | taskset -c "$core" "$trine" run --kernel "$cache/vmlinuz" --initrd "$cache/initramfs.cpio" --memory 256M --append "console=ttyS0 quiet" \
		--max-time $((60 * slower)) --quiet "$@" >"$work/$name" 2>&1
	tr -d '\r' <"$work/$name" | sed -n 's/^cpu  *//p' | awk '{ for (i = 1; i <= 8; i++) all += $i; print $8, all }'
}
offered=$(stolen kvm)
hidden=$(stolen none --pv none)
echo "stolen, of all: $offered; with --pv none: $hidden"
[ -n "$offered" ] && [ -n "$hidden" ] || fail "the shell did not answer: $(tail -n 3 "$work/kvm" "$work/none")"
expect "hundredths stolen" '>' 20 "${offered% *}"
expect "hundredths stolen with --pv none" '==' 0 "${hidden% *}"
