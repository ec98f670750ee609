#!/bin/sh
# The monitor is killed (SIGKILL) while the guest writes; then the file system must be sound after its journal ran, and every record
# that the guest had synced and acknowledged on its console must be there. Each life goes on where the last one ended.
# usage: kill_disk.sh TRINE SOURCE-ROOT [LIVES]
trine=$1 root=$2 lives=${3:-3}
. "$(dirname -- "$0")/lib.sh"
need_debian
command -v mke2fs >/dev/null || { echo "mke2fs is not installed (package e2fsprogs)" && exit 77; }
cat >"$work/kill" <<'END'
virtio 2>/dev/null
mount -t ext4 /dev/vda /root || exit 1
i=$(ls /root | sed -n 's/^record//p' | sort -n | tail -n 1)
echo writing
while :; do
	i=$((i + 1))
	seq $i $((i + 500)) >/root/new && sync && mv /root/new /root/record$i && sync && echo "ack $i"
	[ -f /root/record$((i - 20)) ] && rm /root/record$((i - 20))
done
END
"$root/tools/mkdisk" "$work/disk" 24M || fail "mkdisk"
"$root/tools/guest/extend" "$work/initrd" "$work/kill" || exit
total=0 life=0
while [ "$life" -lt "$lives" ]; do
	life=$((life + 1))
	"$trine" run --quiet --kernel "$cache/vmlinuz" --initrd "$work/initrd" --memory 192M \
		--append "console=ttyS0 loglevel=3 trine.script=kill" --disk "$work/disk" --max-time 250 </dev/null >"$work/out" 2>&1 &
	pid=$!
	await_line $pid '^ack [0-9]' 240 "life $life: the guest does not write"
	sleep "$(awk -v s="$life$$" 'BEGIN { srand(s); printf "%.2f", rand() * 3 }')"
	kill -9 $pid
	wait $pid 2>/dev/null
	last=$(tr -d '\r' <"$work/out" | sed -n 's/^ack \([0-9]*\)$/\1/p' | tail -n 1)
	cp "$work/disk" "$work/checked"
	e2fsck -fy "$work/checked" >"$work/fsck" 2>&1
	[ $? -le 1 ] || { cat "$work/fsck" && fail "life $life: the file system is damaged"; }
	e2fsck -fn "$work/checked" >"$work/fsck" 2>&1 || { cat "$work/fsck" && fail "life $life: the file system is damaged"; }
	first=$((last > 15 ? last - 15 : 1)) i=$last
	while [ "$i" -ge "$first" ]; do
		debugfs -R "cat record$i" "$work/checked" 2>/dev/null | cmp -s - /dev/fd/3 3<<-END || fail "life $life: record $i was acknowledged and is not there"
			$(seq "$i" $((i + 500)))
		END
		total=$((total + 1))
		i=$((i - 1))
	done
	echo "life $life: killed after record $last"
done
echo "$lives kills, $total acknowledged records found again"
