"""Many VMs in less memory than they touch, for bench/memory: a mixed load, what the host holds for it, and whether every VM finds what it wrote."""
import json, os, re, shutil, subprocess, sys, threading, time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
sys.path.insert(0, ROOT + "/tests/boot")
from vm_group import Group

# crowd.load: pages (three writers that begin one after the other), files (random ones, their sums, and what gzip makes of them), spare (a writer that soon
# ends: its memory is free, and a balloon's). The writers stop at crowd.seconds and compare all they have.
GUEST = """virtio
for word in $(cat /proc/cmdline); do
	case $word in crowd.*) export "${word#crowd.}" ;; esac
done
mount -t tmpfs -o size=60% tmpfs /tmp
cd /tmp
case $load in
pages)
	for part in 1 2 3; do
		/scripts/random-pages $seed$part 256 $((seconds - 40 * (part - 1))) /dev/vda &
		sleep 40
	done
	wait
	;;
files)
	end=$(($(date +%s) + seconds)) n=0
	while [ $n -lt 28 ]; do
		head -c 8388608 /dev/urandom >f$n
		md5sum f$n >s$n
		n=$((n + 1))
	done
	while [ $(date +%s) -lt $end ]; do
		n=$(((n + 1) % 28))
		md5sum -c s$n >/dev/null || echo "wrong: f$n"
		gzip -1 -c f$n | gunzip | md5sum | sed "s/-/f$n/" | cmp -s - s$n || echo "wrong: gzip of f$n"
	done
	for n in $(seq 0 27); do md5sum -c s$n >/dev/null || echo "wrong: f$n at the end"; done
	;;
spare)
	/scripts/random-pages ${seed}1 384 $((seconds / 3)) /dev/vda
	/scripts/random-pages ${seed}2 32 $((seconds * 2 / 3)) /dev/vda
	;;
esac
echo checked
"""
LOADS = ["pages", "files", "pages", "spare"] # in turn
TOUCHED_MIB = {"pages": 768, "files": 224, "spare": 416}


def host_mib(pid):
    """What the host holds for a process, MiB: its part of what several hold; without pages of files, which the host may drop."""
    try:
        text = open("/proc/%d/smaps_rollup" % pid).read()
    except OSError:
        return 0
    return sum(int(kib) for kib in re.findall(r"Pss_(?:Anon|Shmem): *(\d+)", text)) / 1024


def oom_kills():
    return int(re.search(r"^oom_kill (\d+)", open("/proc/vmstat").read(), re.M).group(1))


class Watch(threading.Thread):
    """Samples the group every two seconds, by its own table and by the host's count, until it is told to end."""

    def __init__(self, group, svg):
        super().__init__(daemon=True)
        self.group, self.over, self.samples, self.begun = group, threading.Event(), [], time.monotonic()
        self.picture = subprocess.Popen([group.trine, "memory", "--group", group.name, "--svg", svg, "--seconds", "3600"])
        self.start()

    def run(self):
        while not self.over.wait(2):
            every = self.group.table()[0].get("all")
            if every:
                host = sum(host_mib(vm.pid) for vm in self.group.vms) + sum(map(host_mib, self.group.brokers()))
                self.samples.append({"s": round(time.monotonic() - self.begun), **every, "host": round(host)})

    def end(self):
        self.over.set()
        self.join()
        self.picture.wait()
        return self.samples


def run(trine, vms, each, limit, seconds, output):
    """The report, which goes to OUTPUT.json too; OUTPUT.svg is what `trine memory` draws."""
    program = os.path.dirname(trine) + "/bench/random-pages"
    group = Group(trine, ROOT, "crowd", GUEST, program)
    subprocess.run([program, "disk", group.work + "/disk"], check=True)
    killed, watch, touched = oom_kills(), None, 0
    for n in range(vms):
        load = LOADS[n % len(LOADS)]
        touched += TOUCHED_MIB[load]
        group.start("--engine", "bt", "--memory", "%dM" % each, "--disk", group.work + "/disk,readonly", *(["--balloon", "auto"] if load == "spare" else []), share=",limit=%dM" % limit,
                    words="crowd.load=%s crowd.seed=%d crowd.seconds=%d" % (load, n + 1, seconds), seconds=10 * seconds + 900)
        if not watch:
            group.until("no group", 60, lambda: group.table()[0])
            watch = Watch(group, output + ".svg")
    ended = set()
    while len(ended) < vms:
        time.sleep(1)
        for vm in group.vms:
            if vm.poll() is not None and vm.number not in ended:
                ended.add(vm.number)
                if vm.returncode or not group.printed(vm, "checked") or group.printed(vm, "wrong:"):
                    group.fail("VM %d: exit status %d" % (vm.number, vm.returncode))
    samples = watch.end()
    stats = [json.load(open(vm.out + ".stats"))["memory"]["sharing"] for vm in group.vms]
    verified = sum(int(n) for vm in group.vms for n in re.findall(r"pages-done .*verified (\d+)", open(vm.out, errors="replace").read()))
    report = {"vms": vms, "mib_each": each, "limit_mib": limit, "touched_mib": touched, "wall_s": samples[-1]["s"], "killed_by_the_host": oom_kills() - killed, "pages_verified": verified,
              **{name: sum(s[name] for s in stats) for name in ("shared", "zeros", "homes", "paged_out")},
              "most": {name: max(s[name] for s in samples) for name in samples[0]}, "samples": samples}
    json.dump(report, open(output + ".json", "w"), indent=1)
    return report
