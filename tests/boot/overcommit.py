#!/usr/bin/env python3
"""A group that may have less of the host's memory than its guests touch: a balloon where there is one (--balloon auto; that guest has memory to spare), then a file.
Every guest keeps its sums.
usage: overcommit.py TRINE SOURCE-ROOT [VMS MIB-EACH LIMIT-MIB FILES]"""
import json, sys

sys.dont_write_bytecode = True
from vm_group import Group

trine, root = sys.argv[1:3]
vms_n, each, limit, files = map(int, sys.argv[3:7]) if len(sys.argv) > 3 else (3, 160, 200, 8)

# Files of 8 MiB that nobody else has.
guest = """files=FILES
case $(cat /proc/cmdline) in *balloon*) virtio; files=2 ;; esac
mount -t tmpfs -o size=95% tmpfs /tmp
cd /tmp
fill() { head -c 8388608 /dev/urandom >f$1; md5sum f$1 >s$1; }
i=0; while [ $i -lt $files ]; do fill $i; i=$((i + 1)); done
echo filled
turn=0
while read word; do
	[ "$word" = end ] && break
	turn=$((turn + 1))
	i=0
	while [ $i -lt $files ]; do
		md5sum -c s$i >/dev/null || echo "wrong: f$i at turn $turn"
		[ $(( (i + turn) % 4 )) = 0 ] && fill $i
		i=$((i + 1))
	done
	echo "turn $turn done"
done
i=0; while [ $i -lt $files ]; do md5sum -c s$i >/dev/null || echo "wrong: f$i at the end"; i=$((i + 1)); done
echo checked
"""
group = Group(trine, root, "tight", guest.replace("FILES", str(files)))
for n in range(vms_n):
    balloon = ["--balloon", "auto"] if n == 0 else []
    group.start("--engine", "bt", "--memory", "%dM" % each, *balloon, share=",limit=%dM" % limit, words="balloon" if balloon else "", seconds=500)
for vm in group.vms:
    group.until("VM %d has not filled its files" % vm.number, 200, lambda: group.printed(vm, "filled"))
low = []


def kept():
    rows = group.table()[0]
    low.append((rows["all"]["resident"], rows["all"]["paged"], rows["all"]["ballooned"]))
    # A thirty-second more: what the guests take between two looks of the policy's.
    return rows["all"]["resident"] <= limit * 33 // 32 and rows["all"]["paged"] and any(look[2] for look in low)


took = group.until("the group does not keep to its limit of %d MiB" % limit, 120, kept)
print("%d VMs of %d MiB: %d MiB resident, %d paged, %d ballooned after %.0f s; limit %d" % (vms_n, each, *low[-1], took, limit))
for _ in range(2):
    group.turn(200)
group.end(200)
if not any(json.load(open(vm.out + ".stats"))["memory"]["sharing"]["paged_out"] for vm in group.vms):
    group.fail("nothing went to the file")
