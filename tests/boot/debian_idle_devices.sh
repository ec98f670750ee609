#!/bin/sh
# A sleeping guest with all devices uses under 1 % of a core: Debian with systemd from its own disk, at its login prompt, with virtio and IDE disks, a
# CD, network, balloon, VGA and QMP. Measured is the monitor's CPU time, which other work on this machine does not lengthen much; of several
# stretches the middle one counts, since systemd's own timers (apt, man-db, tmpfiles) may fall into one.
# usage: debian_idle_devices.sh TRINE SOURCE-ROOT ENGINE
trine=$1 root=$2 engine=$3
. "$(dirname -- "$0")/lib.sh"
need_engine "$engine"
image=$cache/debian.img
exec 9>"$cache/debian.lock" && flock 9 || exit 1 # one of the tests that want it makes it
[ -f "$image" ] || "$root/tools/mkdebian" "$image" >"$work/log" 2>&1 9>&- || { echo "no $image: $(tail -n 1 "$work/log")" && exit 77; }
exec 9>&-
truncate -s 64M "$work/disk" "$work/ide" "$work/cd"
"$trine" run --engine "$engine" --memory 512M --disk "$image,snapshot" --disk "$work/disk" --disk "$work/ide,bus=ide" --cdrom "$work/cd" --net user --balloon 512M \
	--qmp "unix:$work/qmp" --max-time $((900 * slower)) </dev/null >"$work/out" 2>&1 &
pid=$!
trap 'kill $pid 2>/dev/null; rm -rf "$work"' EXIT
await_line $pid 'trine login:' $((600 * slower)) "no login prompt"
ticks() { awk '{ print $14 + $15 }' "/proc/$pid/stat"; }
# After the prompt come systemd's last jobs: until 5 s cost no more than a fiftieth of a core.
for attempt in $(seq $((40 * slower))); do
	before=$(ticks)
	sleep 5
	[ $(($(ticks) - before)) -gt $(($(getconf CLK_TCK) / 10)) ] || break
done
for stretch in 1 2 3 4 5; do
	before=$(ticks)
	sleep 12
	echo $(($(ticks) - before))
done >"$work/stretches"
echo "ticks in 12 s each: $(tr '\n' ' ' <"$work/stretches")"
kill -0 $pid || fail "the VM has ended"
middle=$(sort -n "$work/stretches" | sed -n 3p)
expect "percent of a core" '<' 1 "$(awk -v t="$middle" -v hz="$(getconf CLK_TCK)" 'BEGIN { print 100 * t / hz / 12 }')"
