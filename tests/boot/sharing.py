#!/usr/bin/env python3
"""VMs of one group share pages, and no guest finds a byte that it did not write. Each guest fills files in memory with known contents, writes some of them anew, and
checks all of them, again and again; a disk's contents come in by DMA in between. Two engines side by side, one with two vCPUs; `trine memory` tells of them. kill: the broker is killed in between, and a third VM starts another;
one member is killed too.
usage: sharing.py TRINE SOURCE-ROOT [kill] [ROUNDS]"""
import hashlib, json, os, re, signal, subprocess, sys, tempfile, time

trine, root = sys.argv[1:3]
kill = "kill" in sys.argv
rounds = int(sys.argv[-1]) if sys.argv[-1].isdigit() else 3
slower = float(os.environ.get("TRINE_TEST_SLOWER", "1"))
work = tempfile.mkdtemp(prefix="trine-")
os.environ["XDG_RUNTIME_DIR"] = work
MIB = 1 << 20
vms = []

# A file holds 2 MiB of one line over and over: pages alike within it, and in the other guest.
guest = """virtio
mkdir /tmp/w
disk() { echo 3 >/proc/sys/vm/drop_caches; md5sum </dev/vda; }
cd /tmp/w
write() { yes "file $1 turn $2 $(( $1 * 7919 + $2 ))" | head -c 2097152 >f$1; md5sum f$1 >s$1; }
for i in 1 2 3 4 5 6 7 8; do write $i 0; done
sum=$(disk)
echo "disk $sum"
echo filled
turn=0
while read word; do
	[ "$word" = end ] && break
	turn=$((turn + 1))
	for i in 1 2 3 4 5 6 7 8; do
		md5sum -c s$i >/dev/null || echo "wrong: f$i at turn $turn"
		[ $(( (i + turn) % 4 )) = 0 ] && write $i $turn &
	done
	[ "$(disk)" = "$sum" ] || echo "wrong: the disk at turn $turn"
	wait
	for i in 1 2 3 4 5 6 7 8; do md5sum -c s$i >/dev/null || echo "wrong: f$i behind turn $turn"; done
	echo "turn $turn done"
done
echo checked
"""


def fail(why):
    print("FAILED:", why)
    for vm in vms:
        vm.kill()
        print("--- VM %d" % vm.number)
        print(open(vm.out, errors="replace").read()[-1500:])
    sys.exit(1)


def until(what, seconds, ok):
    start = time.time()
    while time.time() - start < seconds * slower:
        if ok():
            return
        for vm in vms:
            if vm.poll() is not None:
                fail("VM %d ended before: %s" % (vm.number, what))
        time.sleep(0.1)
    fail(what)


def start(engine, *options):
    number = len(vms) + 1
    out = "%s/out%d" % (work, number)
    vm = subprocess.Popen([trine, "run", "--engine", engine, "--kernel", cache + "/vmlinuz", "--initrd", work + "/initrd", "--memory", "128M", "--share", "test", "--append",
                           "console=ttyS0 loglevel=5 trine.script=sharing", "--stats", out + ".stats", "--max-time", str(int(400 * slower)), "--disk", work + "/disk,readonly", *options],
                          stdin=subprocess.PIPE, stdout=open(out, "wb"), stderr=subprocess.STDOUT)
    vm.number, vm.out, vm.turns = number, out, 0
    vms.append(vm)
    return vm


def printed(vm, text):
    return text in open(vm.out, errors="replace").read()


def turn():
    for vm in vms:
        vm.stdin.write(b"go\n")
        vm.stdin.flush()
        vm.turns += 1
    for vm in vms:
        until("VM %d did not come to turn %d" % (vm.number, vm.turns), 120, lambda: printed(vm, "turn %d done" % vm.turns))
        if printed(vm, "wrong:"):
            fail("VM %d found what it did not write" % vm.number)


def table():
    done = subprocess.run([trine, "memory", "--group", "test"], capture_output=True, text=True)
    rows = [line.split() for line in done.stdout.splitlines()[1:-1]]
    return {r[0]: dict(zip(["size", "resident", "shared", "ballooned"], map(int, r[1:5]))) for r in rows if r[0] != "pool"}, done.stderr


def brokers():
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = open("/proc/%s/cmdline" % pid).read().split("\0")
        except OSError:
            continue
        if "memory-broker" in words and any(word.startswith(work) for word in words):
            found.append(int(pid))
    return found


cache = subprocess.run([root + "/tools/guest/prepare", "--path"], capture_output=True, text=True).stdout.strip()
open(work + "/sharing", "w").write(guest)
open(work + "/disk", "wb").write(b"".join(b"%064d" % (i // 1000) for i in range(64 << 10))) # pages alike, and like those of the other's disk
done = subprocess.run([root + "/tools/guest/extend", work + "/initrd", work + "/sharing"])
if done.returncode:
    sys.exit(done.returncode)
alone = subprocess.run([trine, "memory", "--group", "test"], capture_output=True, text=True)
if alone.returncode != 3 or "no VM of this group runs" not in alone.stderr:
    fail("a group that is not there: %d %s" % (alone.returncode, alone.stderr))
start("bt")
start("interp", "--cpus", "2")
for vm in vms:
    until("VM %d has not started" % vm.number, 150, lambda: printed(vm, "filled"))
until("nothing is shared", 120, lambda: all(r["shared"] >= 8 for r in table()[0].values()))
for _ in range(rounds):
    turn()
    time.sleep(2)
if len(brokers()) != 1:
    fail("brokers: %s" % brokers())
if kill:
    os.kill(brokers()[0], signal.SIGKILL)
    until("a broker's end is not told", 30, lambda: all(printed(vm, "the broker is gone") for vm in vms))
    turn()
    start("bt")
    start("bt")
    for vm in vms[2:]:
        until("VM %d has not started" % vm.number, 150, lambda: printed(vm, "filled"))
    until("the new group shares nothing", 120, lambda: len(table()[0]) == 2 and all(r["shared"] >= 8 for r in table()[0].values()))
    turn()
    victim = vms.pop()
    victim.kill()
    victim.wait()
    until("the table still has who was killed", 30, lambda: len(table()[0]) == 1)
    turn()
for vm in vms:
    vm.stdin.write(b"end\n")
    vm.stdin.close()
for vm in vms:
    if vm.wait(timeout=60 * slower):
        fail("VM %d: exit status %d" % (vm.number, vm.returncode))
    if not printed(vm, "disk " + hashlib.md5(open(work + "/disk", "rb").read()).hexdigest()):
        fail("VM %d: the disk" % vm.number)
    if not printed(vm, "checked") or printed(vm, "wrong:"):
        fail("VM %d: the sums" % vm.number)
    m = json.load(open(vm.out + ".stats"))["memory"]
    s = m["sharing"]
    print("VM %d: %d of %d MiB shared, %d pages copied on a write, %d stops, %.2f s of the scanner" %
          (vm.number, m["shared_bytes"] // MIB, m["guest_bytes"] // MIB, s["homes"], s["stops"], s["scanner_ns"] / 1e9))
    if not m["shared_bytes"]:
        fail("VM %d shares nothing at its end" % vm.number)
time.sleep(0.5)
until_gone = time.time() + 20
while brokers():
    if time.time() > until_gone:
        fail("a broker is left")
    time.sleep(0.1)
if os.path.exists(work + "/trine/test.share"):
    fail("the socket is left")
