#!/usr/bin/env python3
"""A group that may have less of the host's memory than its guests touch: a balloon where there is one (--balloon auto; that guest has memory to spare), then a file.
Every guest keeps its sums.
usage: overcommit.py TRINE SOURCE-ROOT [VMS MIB-EACH LIMIT-MIB FILES]"""
import json, os, subprocess, sys, tempfile, time

trine, root = sys.argv[1:3]
vms_n, each, limit, files = map(int, sys.argv[3:7]) if len(sys.argv) > 3 else (3, 160, 200, 8)
slower = float(os.environ.get("TRINE_TEST_SLOWER", "1"))
work = tempfile.mkdtemp(prefix="trine-")
os.environ["XDG_RUNTIME_DIR"] = work
MIB = 1 << 20
vms = []

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


def fail(why):
    print("FAILED:", why)
    print(table()[1])
    for vm in vms:
        vm.kill()
        print("--- VM %d" % vm.number)
        print(open(vm.out, errors="replace").read()[-1000:])
    sys.exit(1)


def until(what, seconds, ok):
    start = time.time()
    while time.time() - start < seconds * slower:
        if ok():
            return time.time() - start
        for vm in vms:
            if vm.poll() is not None:
                fail("VM %d ended before: %s" % (vm.number, what))
        time.sleep(0.2)
    fail(what)


def printed(vm, text):
    return text in open(vm.out, errors="replace").read()


def table():
    done = subprocess.run([trine, "memory", "--group", "tight"], capture_output=True, text=True)
    rows = [line.split() for line in done.stdout.splitlines()[1:]]
    return {r[0]: dict(zip(["size", "resident", "shared", "ballooned", "paged", "working"], map(int, r[1:7]))) for r in rows}, done.stdout


def start(*options):
    out = "%s/out%d" % (work, len(vms) + 1)
    vm = subprocess.Popen([trine, "run", "--engine", "bt", "--kernel", cache + "/vmlinuz", "--initrd", work + "/initrd", "--memory", "%dM" % each, "--share",
                           "tight,limit=%dM" % limit, "--append", "console=ttyS0 loglevel=5 trine.script=tight" + (" balloon" if options else ""), "--stats", out + ".stats",
                           "--max-time", str(int(500 * slower)), *options], stdin=subprocess.PIPE, stdout=open(out, "wb"), stderr=subprocess.STDOUT)
    vm.number, vm.out = len(vms) + 1, out
    vms.append(vm)


cache = subprocess.run([root + "/tools/guest/prepare", "--path"], capture_output=True, text=True).stdout.strip()
open(work + "/tight", "w").write(guest.replace("FILES", str(files)))
done = subprocess.run([root + "/tools/guest/extend", work + "/initrd", work + "/tight"])
if done.returncode:
    sys.exit(done.returncode)
for n in range(vms_n):
    start(*(["--balloon", "auto"] if n == 0 else []))
for vm in vms:
    until("VM %d has not filled its files" % vm.number, 200, lambda: printed(vm, "filled"))
low = []


def kept():
    rows = table()[0]
    low.append((rows["all"]["resident"], rows["all"]["paged"], rows["all"]["ballooned"]))
    return rows["all"]["resident"] <= limit * 1.05 and rows["all"]["paged"] and any(look[2] for look in low)


took = until("the group does not keep to its limit of %d MiB" % limit, 120, kept)
print("%d VMs of %d MiB: %d MiB resident, %d paged, %d ballooned after %.0f s; limit %d" % (vms_n, each, *low[-1], took, limit))
for turn in range(1, 3):
    for vm in vms:
        vm.stdin.write(b"go\n")
        vm.stdin.flush()
    for vm in vms:
        until("VM %d: turn %d" % (vm.number, turn), 200, lambda: printed(vm, "turn %d done" % turn))
        if printed(vm, "wrong:"):
            fail("VM %d: the sums" % vm.number)
for vm in vms:
    vm.stdin.write(b"end\n")
    vm.stdin.close()
for vm in vms:
    if vm.wait(timeout=200 * slower):
        fail("VM %d: exit status %d" % (vm.number, vm.returncode))
    if not printed(vm, "checked") or printed(vm, "wrong:"):
        fail("VM %d: the sums" % vm.number)
if not any(json.load(open(vm.out + ".stats"))["memory"]["sharing"]["paged_out"] for vm in vms):
    fail("nothing went to the file")
