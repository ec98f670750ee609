#!/usr/bin/env python3
"""VMs of one group share pages, and no guest finds a byte that it did not write. Each guest fills files in memory with known contents, writes some of them anew, and
checks all of them, again and again; a disk's contents come in by DMA in between. Two engines side by side, one with two vCPUs; `trine memory` tells of them. kill: the broker is killed in between, and a third VM starts another;
one member is killed too.
usage: sharing.py TRINE SOURCE-ROOT [kill] [ROUNDS]"""
import hashlib, json, os, signal, sys, time

sys.dont_write_bytecode = True
from vm_group import Group

trine, root = sys.argv[1:3]
kill = "kill" in sys.argv
rounds = int(sys.argv[-1]) if sys.argv[-1].isdigit() else 3
MIB = 1 << 20

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
group = Group(trine, root, "sharing", guest)


def start(engine, *options):
    group.start("--engine", engine, "--memory", "128M", "--disk", group.work + "/disk,readonly", *options)


open(group.work + "/disk", "wb").write(b"".join(b"%064d" % (i // 1000) for i in range(64 << 10))) # pages alike, and like those of the other's disk
alone = group.table()[1]
if alone.returncode != 3 or "no VM of this group runs" not in alone.stderr:
    group.fail("a group that is not there: %d %s" % (alone.returncode, alone.stderr))
start("bt")
start("interp", "--cpus", "2")
for vm in group.vms:
    group.until("VM %d has not started" % vm.number, 150, lambda: group.printed(vm, "filled"))
group.until("nothing is shared", 120, lambda: all(r["shared"] >= 8 for r in group.members().values()))
for _ in range(rounds):
    group.turn(120)
    time.sleep(2)
if len(group.brokers()) != 1:
    group.fail("brokers: %s" % group.brokers())
if kill:
    os.kill(group.brokers()[0], signal.SIGKILL)
    group.until("a broker's end is not told", 30, lambda: all(group.printed(vm, "the broker is gone") for vm in group.vms))
    group.turn(120)
    start("bt")
    start("bt")
    for vm in group.vms[2:]:
        group.until("VM %d has not started" % vm.number, 150, lambda: group.printed(vm, "filled"))
    group.until("the new group shares nothing", 120, lambda: len(group.members()) == 2 and all(r["shared"] >= 8 for r in group.members().values()))
    group.turn(120)
    victim = group.vms.pop()
    victim.kill()
    victim.wait()
    group.until("the table still has who was killed", 30, lambda: len(group.members()) == 1)
    group.turn(120)
group.end(60)
for vm in group.vms:
    if not group.printed(vm, "disk " + hashlib.md5(open(group.work + "/disk", "rb").read()).hexdigest()):
        group.fail("VM %d: the disk" % vm.number)
    m = json.load(open(vm.out + ".stats"))["memory"]
    s = m["sharing"]
    print("VM %d: %d of %d MiB shared, %d pages copied on a write, %d stops, %.2f s of the scanner" %
          (vm.number, m["shared_bytes"] // MIB, m["guest_bytes"] // MIB, s["homes"], s["stops"], s["scanner_ns"] / 1e9))
    if not m["shared_bytes"]:
        group.fail("VM %d shares nothing at its end" % vm.number)
time.sleep(0.5)
until_gone = time.time() + 20
while group.brokers():
    if time.time() > until_gone:
        group.fail("a broker is left")
    time.sleep(0.1)
if os.path.exists(group.work + "/trine/sharing.share"):
    group.fail("the socket is left")
