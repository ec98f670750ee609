#!/bin/sh
# Debian's kernel on four vCPUs. Real time: all four work, processes fork and signal each other on them. Virtual time: two runs are equal, and a
# snapshot from the middle goes on to the same end.
# usage: debian_smp.sh TRINE [ENGINE]
trine=$1 engine=${2-auto}
. "$(dirname -- "$0")/lib.sh"
need_debian

# Eight loops of forks and pipes beside each other; the sum is right only if none is lost.
cat >"$work/commands" <<'END'
echo "cpus $(nproc)"
for j in 1 2 3 4 5 6 7 8; do (i=0 s=0; while [ $i -lt 40 ]; do s=$((s + $(echo $j | cat))) i=$((i + 1)); done; echo $s >/tmp/part.$j) & done; wait
echo "parts $(cat /tmp/part.* | awk '{ s += $1 } END { print s }')"
echo "ran $(awk '/^cpu[0-9]/ && $2 + $4 > 0 { n++ } END { print n }' /proc/stat)"
poweroff
END
debian --engine "$engine" --append "console=ttyS0 quiet" --cpus 4 --max-time $((300 * slower)) <"$work/commands" >"$work/out" 2>"$work/err"
status=$?
tr -d '\r' <"$work/out" >"$work/text"
tail -n 12 "$work/text"
[ "$status" = 0 ] || fail "real time: exit status $status: $(cat "$work/err")"
for line in 'cpus 4' 'parts 1440' 'ran 4'; do
	grep -qx "$line" "$work/text" || fail "real time: no line '$line'"
done
! grep -E 'soft lockup|rcu.*stall|BUG:|TSC warp|Marking TSC unstable|inconsistent' "$work/text" || fail "real time: the kernel complains"

once() { # NAME OPTION...
	name=$1
	shift
	"$trine" run --engine "$engine" --cpus 4 --time virtual --memory 256M --max-time $((300 * slower)) --stats "$work/$name.stats" "$@" </dev/null >"$work/$name.out" 2>"$work/$name.err" ||
		fail "run $name: exit status $?: $(cat "$work/$name.err")"
	echo "run $name: $(stat_of "$work/$name.stats" guest_instructions) instructions, state $(stat_of "$work/$name.stats" state_hash)"
}
boot="--kernel $cache/vmlinuz --initrd $cache/initramfs.cpio"
# shellcheck disable=SC2086
once a $boot --append "console=ttyS0 trine.script=smoke" --save "$work/middle@1500000000"
# shellcheck disable=SC2086
once b $boot --append "console=ttyS0 trine.script=smoke"
tr -d '\r' <"$work/a.out" | grep -qx trine-smoke-ok || fail "virtual time: no marker"
tr -d '\r' <"$work/a.out" | grep -qx 4 || fail "virtual time: not four processors"
cmp "$work/a.out" "$work/b.out" || fail "the output differs"
once c --restore "$work/middle"
for run in b c; do
	for key in guest_instructions state_hash; do
		[ "$(stat_of "$work/a.stats" $key)" = "$(stat_of "$work/$run.stats" $key)" ] || fail "run $run: $key differs"
	done
done
