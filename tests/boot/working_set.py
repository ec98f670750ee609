#!/usr/bin/env python3
"""The working set that `trine memory` shows, sampled: of two guests that hold as much, neither with a balloon, one goes on using it and one sleeps.
usage: working_set.py TRINE SOURCE-ROOT"""
import sys

sys.dont_write_bytecode = True
from vm_group import Group

MIB = 96
guest = """mount -t tmpfs -o size=95% tmpfs /tmp
cd /tmp
head -c MIBm /dev/urandom >f
md5sum f >sum
echo filled
case $(cat /proc/cmdline) in *busy*) while [ ! -e /tmp/stop ]; do md5sum -c sum >/dev/null || echo wrong: f; sleep 1; done & ;; esac
while read word; do [ "$word" = end ] && break; done
touch /tmp/stop
wait
md5sum -c sum >/dev/null || echo wrong: f
echo checked
"""
group = Group(*sys.argv[1:3], "sampled", guest.replace("MIBm", str(MIB << 20)))
for word in ["busy", "idle"]:
    group.start("--engine", "bt", "--memory", "256M", words=word)
for vm in group.vms:
    group.until("VM %d has not filled its file" % vm.number, 200, lambda: group.printed(vm, "filled"))
last = []


def told_apart():
    rows = group.members()
    busy, idle = (rows.get(str(vm.pid)) for vm in group.vms)
    if not busy or not idle:
        return False
    last[:] = [busy, idle]
    return busy["working"] >= MIB * 3 // 4 and idle["resident"] >= MIB and idle["working"] <= idle["resident"] // 5


took = group.until("the guest that sleeps is not told from the one that works", 200, told_apart)
print("busy: %d MiB in use of %d; idle: %d of %d; told apart after %.0f s" % (*(row[what] for row in last for what in ["working", "resident"]), took))
group.end(200)
