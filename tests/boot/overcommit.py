#!/usr/bin/env python3
"""A group that may have less of the host's memory than its guests touch: a balloon where there is one (--balloon auto; that guest has memory to spare), then a file.
Every guest keeps its sums.
usage: overcommit.py TRINE SOURCE-ROOT [VMS MIB-EACH LIMIT-MIB FILES [REPORT]]; REPORT.json gets what was sampled every two seconds, REPORT.svg what `trine memory` draws"""
import json, re, subprocess, sys, threading, time

sys.dont_write_bytecode = True
from vm_group import Group

trine, root = sys.argv[1:3]
vms_n, each, limit, files = map(int, sys.argv[3:7]) if len(sys.argv) > 3 else (3, 160, 200, 8)
report = sys.argv[7] if len(sys.argv) > 7 else ""

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


def host_mib(pid):
    """What the host holds for a process, MiB: its part of what several hold; without pages of files, which the host may drop."""
    try:
        text = open("/proc/%d/smaps_rollup" % pid).read()
    except OSError:
        return 0
    return sum(int(kib) for kib in re.findall(r"Pss_(?:Anon|Shmem): *(\d+)", text)) / 1024


def killed():
    """How many processes the host's OOM killer has ended."""
    return int(re.search(r"^oom_kill (\d+)", open("/proc/vmstat").read(), re.M).group(1))


class Watch(threading.Thread):
    """Samples the group every two seconds, by its own table and by the host's count, until it is told to end."""

    def __init__(self):
        super().__init__(daemon=True)
        self.ended, self.samples, self.start_s, self.killed = threading.Event(), [], time.monotonic(), killed()
        self.picture = subprocess.Popen([trine, "memory", "--group", group.name, "--svg", report + ".svg", "--seconds", "3600"])
        self.start()

    def run(self):
        while not self.ended.wait(2):
            every = group.table()[0].get("all")
            if every:
                host = sum(host_mib(vm.pid) for vm in group.vms) + sum(map(host_mib, group.brokers()))
                self.samples.append({"s": round(time.monotonic() - self.start_s), **every, "host": round(host)})

    def end(self, seconds):
        self.ended.set()
        self.join()
        self.picture.wait()
        most = {name: max(s[name] for s in self.samples) for name in self.samples[0]}
        left = {"vms": vms_n, "mib_each": each, "limit_mib": limit, "touched_mib_each": files * 8, "wall_s": round(time.monotonic() - self.start_s), "limit_kept_after_s": round(seconds),
                "killed_by_the_host": killed() - self.killed, "most": most, "samples": self.samples}
        json.dump(left, open(report + ".json", "w"), indent=1)


for n in range(vms_n):
    balloon = ["--balloon", "auto"] if n == 0 else []
    group.start("--engine", "bt", "--memory", "%dM" % each, *balloon, share=",limit=%dM" % limit, words="balloon" if balloon else "", seconds=3600 if report else 500)
    if report and not n:
        group.until("no group", 60, lambda: group.table()[0])
        watch = Watch()
for vm in group.vms:
    group.until("VM %d has not filled its files" % vm.number, 1800 if report else 200, lambda: group.printed(vm, "filled"))
low = []


def kept():
    rows = group.table()[0]
    low.append((rows["all"]["resident"], rows["all"]["paged"], rows["all"]["ballooned"]))
    return rows["all"]["resident"] <= limit and rows["all"]["paged"] and any(look[2] for look in low)


took = group.until("the group does not keep to its limit of %d MiB" % limit, 120, kept)
print("%d VMs of %d MiB: %d MiB resident, %d paged, %d ballooned after %.0f s; limit %d" % (vms_n, each, *low[-1], took, limit))
for _ in range(2):
    group.turn(1200 if report else 200)
group.end(1200 if report else 200)
if not any(json.load(open(vm.out + ".stats"))["memory"]["sharing"]["paged_out"] for vm in group.vms):
    group.fail("nothing went to the file")
if report:
    watch.end(took)
