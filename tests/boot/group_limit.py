#!/usr/bin/env python3
"""A guest that fills memory as fast as it can, three times what its group may have: it waits for pages to go to the file, the limit is kept as far as a busy host lets it be, and it finds every byte.
usage: group_limit.py TRINE SOURCE-ROOT RANDOM-PAGES"""
import json, re, sys, time

sys.dont_write_bytecode = True
from vm_group import Group

trine, root, program = sys.argv[1:4]
LIMIT, MIB = 144, 320
group = Group(trine, root, "limit", "/scripts/random-pages 7 %d 1\necho checked\n" % MIB, program)
group.start("--engine", "bt", "--memory", "448M", share=",limit=%dM" % LIMIT, seconds=300)
vm, most, paged = group.vms[0], 0, 0
while vm.poll() is None:
    every = group.table()[0].get("all")
    if every:
        most, paged = max(most, every["resident"]), max(paged, every["paged"])
    time.sleep(0.2)
said = open(vm.out, errors="replace").read()
done = re.search(r"pages-done .*verified (\d+) .*wrong (\d+)", said)
waited = json.load(open(vm.out + ".stats"))["memory"]["sharing"]["waited_ns"] / 1e9
print("%d MiB filled under a limit of %d: %d MiB at most, %d paged; it waited %.1f s" % (MIB, LIMIT, most, paged, waited))
if vm.returncode or not done or int(done[2]) or "wrong:" in said or "checked" not in said:
    group.fail("exit status %d" % vm.returncode)
if not paged or not waited:
    group.fail("nothing went to the file, or the guest did not wait")
if most > LIMIT * 3 // 2: # on a busy host the thread that looks comes late
    group.fail("the limit is not kept")
