#!/usr/bin/env python3
"""A --share group whose memory ends. pool: the host has no more for the group's pool than 64 frames (a seccomp filter, which the broker inherits, lets allocations of files' space
behind that fail). paging: the file for paging lies on a tmpfs of 256 KiB. Two VMs, one on each engine, with guests that verify and change pages of known contents: each says what is full, once,
what fitted is used, and the guests find every byte.
usage: sharing_full.py TRINE GUEST pool|paging"""
import ctypes, errno, os, struct, subprocess, sys, tempfile, time

trine, image, what = sys.argv[1:4]
slower = float(os.environ.get("TRINE_TEST_SLOWER", "1"))
work = tempfile.mkdtemp(prefix="trine-")
env = {**os.environ, "XDG_RUNTIME_DIR": work, "TMPDIR": work + "/small"}
os.mkdir(work + "/small")
group = "full" + (",limit=1M" if what == "paging" else "")
POOL_KIB = 256
SYS_FALLOCATE = {"x86_64": 285}.get(os.uname().machine)


def no_space():
    """fallocate(fd, 0, POOL_KIB KiB or more, ...) fails with ENOSPC from now on, in the programs that are started too."""
    load, jump_equal, jump_least, leave = 0x20, 0x15, 0x35, 0x06 # linux/bpf_common.h
    words = [(load, 0, 0, 0), (jump_equal, 0, 5, SYS_FALLOCATE), (load, 0, 0, 16 + 8), (jump_equal, 0, 3, 0), (load, 0, 0, 16 + 16), (jump_least, 0, 1, POOL_KIB << 10),
             (leave, 0, 0, 0x50000 | errno.ENOSPC), (leave, 0, 0, 0x7fff0000)] # SECCOMP_RET_ERRNO, SECCOMP_RET_ALLOW
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", c, t, f, k) for c, t, f, k in words))
    program = struct.pack("HxxxxxxQ", len(words), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, program): # PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP
        raise OSError(ctypes.get_errno(), "seccomp")


def skip(why):
    print("left out: " + why)
    sys.exit(77)


before = []
if what == "paging":
    before = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=256k tmpfs "$0" && exec "$@"', work + "/small"]
    if subprocess.run([*before, "true"], capture_output=True).returncode:
        skip("a tmpfs cannot be mounted here (it needs root)")
elif not SYS_FALLOCATE:
    skip("the filter is made for x86-64 hosts")
vms = []
for engine in ("bt", "interp"):
    out = "%s/out-%s" % (work, engine)
    vms.append(subprocess.Popen([*before, trine, "run", "--kernel", image, "--engine", engine, "--memory", "16M", "--debug-exit", "--share", group, "--stats", out + ".stats",
                                 "--max-time", str(int(150 * slower))], stdin=subprocess.PIPE, stdout=open(out, "wb"), stderr=subprocess.STDOUT, env=env,
                                preexec_fn=no_space if what == "pool" else None))
    vms[-1].out = out


def text(vm):
    return open(vm.out, errors="replace").read()


def fail(why):
    print("FAILED: " + why)
    for vm in vms:
        vm.kill()
        print("--- " + text(vm)[-600:])
    sys.exit(1)


def until(why, ok):
    end = time.time() + 60 * slower
    while not ok():
        if time.time() > end or any(vm.poll() is not None for vm in vms):
            fail(why)
        time.sleep(0.1)


def column(n):
    done = subprocess.run([trine, "memory", "--group", "full"], capture_output=True, text=True, env=env)
    return next((int(line.split()[n]) for line in done.stdout.splitlines() if line.split()[0] == "all"), 0)


line = "share full: the group's pool takes no more: No space left on device" if what == "pool" else "share full: the file for paging takes no more: No space left on device"
until("it is not told: " + line, lambda: all(line in text(vm) for vm in vms))
passes = [text(vm).count("\npass ") for vm in vms]
until("the guests do not go on", lambda: all(text(vm).count("\npass ") > n + 5 for vm, n in zip(vms, passes)))
used = column(3) if what == "pool" else column(5)
for vm in vms:
    vm.stdin.write(b"x")
    vm.stdin.close()
for vm in vms:
    if vm.wait() != 33:
        fail("exit status %d" % vm.returncode)
    if text(vm).count(line) != 1:
        fail("told %d times" % text(vm).count(line))
print("%s full; %d MiB %s" % (what, used, "shared" if what == "pool" else "paged"))
if what == "pool" and not used:
    fail("nothing is shared")
subprocess.run(["rm", "-rf", work])
