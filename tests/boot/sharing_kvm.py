#!/usr/bin/env python3
"""Pages shared between a VM on kvm and one on bt, whose guests verify and change them: each goes on finding what it wrote. On whatever
/dev/kvm there is; one whose kernel emulates ring 0 makes some million instructions a second, a pass of the guest a few seconds.
usage: sharing_kvm.py TRINE GUEST"""
import json, os, subprocess, sys, tempfile, time

trine, image = sys.argv[1:3]
slower = float(os.environ.get("TRINE_TEST_SLOWER", "1"))
engines = subprocess.run([trine, "engines"], capture_output=True, text=True).stdout
if "kvm: not usable: /dev/kvm" in engines or not os.access("/dev/kvm", os.R_OK | os.W_OK):
    print("no /dev/kvm here: %s" % engines.splitlines()[0])
    sys.exit(77)
work = tempfile.TemporaryDirectory(prefix="trine-")
env = {**os.environ, "XDG_RUNTIME_DIR": work.name}
vms = {}
for engine in ["kvm", "bt"]:
    out = "%s/%s" % (work.name, engine)
    vms[engine] = subprocess.Popen([trine, "run", "--kernel", image, "--engine", engine, "--memory", "16M", "--debug-exit", "--share", "mixed", "--max-time", str(int(800 * slower)),
                                    "--stats", out + ".stats"], stdin=subprocess.PIPE, stdout=open(out, "wb"), stderr=subprocess.STDOUT, env=env)


def fail(why):
    print("FAILED:", why)
    for engine, vm in vms.items():
        vm.kill()
        print("--- %s\n%s" % (engine, open("%s/%s" % (work.name, engine), errors="replace").read()[-600:]))
    sys.exit(1)


def until(what, seconds, ok):
    end = time.time() + seconds * slower
    while not ok():
        for engine, vm in vms.items():
            if vm.poll() is not None:
                fail("%s ended with %d before: %s" % (engine, vm.returncode, what))
        if time.time() > end:
            fail(what)
        time.sleep(0.2)


def passes(engine):
    return open("%s/%s" % (work.name, engine), "rb").read().count(b"\npass ")


# Two looks of the scanner at all pages, and then what the guests find.
until("the guest on kvm stands still", 400, lambda: passes("kvm") >= 2)
time.sleep(10)
before = {engine: passes(engine) for engine in vms}
until("a guest stands still", 400, lambda: all(passes(engine) >= before[engine] + 3 for engine in vms))
for vm in vms.values():
    vm.stdin.write(b"x")
    vm.stdin.close()
for engine, vm in vms.items():
    if vm.wait(timeout=100 * slower) != 33:
        fail("%s: exit status %d" % (engine, vm.returncode))
    did = json.load(open("%s/%s.stats" % (work.name, engine)))["memory"]["sharing"]
    print("%s: %d passes; %d pages shared, %d came home" % (engine, passes(engine), did["shared"], did["homes"]))
    if not did["shared"] or (engine == "bt" and not did["homes"]):
        fail("%s: no page was shared, or none was written since" % engine)
