#!/usr/bin/env python3
"""Brokers and members of a --share group killed at any moment of theirs. A round is two VMs, one on each engine, with guests that verify and change pages of
known contents; at a moment that moves from round to round over the first seconds (joining, looking, offering, mapping, coming home) one is killed by kill -9: the broker; the
broker, after which a third VM brings another; or a member. Whoever is left verifies all pages three times more, and ends.
usage: sharing_kills.py TRINE GUEST [ROUNDS]"""
import concurrent.futures, os, signal, subprocess, sys, tempfile, time

trine, image = sys.argv[1:3]
rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 6
slower = float(os.environ.get("TRINE_TEST_SLOWER", "1"))
SPAN = 8 # seconds: two looks at a page, and a change of it
WHAT = ["broker", "broker, another comes", "member"]


class Round:
    def __init__(self, n, work):
        self.n, self.work, self.vms = n, work, []
        self.env = {**os.environ, "XDG_RUNTIME_DIR": work}

    def start(self, engine):
        out = "%s/out%d" % (self.work, len(self.vms))
        vm = subprocess.Popen([trine, "run", "--kernel", image, "--engine", engine, "--memory", "16M", "--debug-exit", "--share", "kills", "--max-time", str(int(200 * slower))],
                              stdin=subprocess.PIPE, stdout=open(out, "wb"), stderr=subprocess.STDOUT, env=self.env)
        vm.out = out
        self.vms.append(vm)

    def fail(self, why):
        texts = ["--- %s" % open(vm.out, errors="replace").read()[-400:] for vm in self.vms]
        raise RuntimeError("round %d (%s): %s\n%s" % (self.n, WHAT[self.n % 3], why, "\n".join(texts)))

    def passes(self, vm):
        return open(vm.out, "rb").read().count(b"\npass ")

    def more(self, vm, n):
        """N more passes, which begin after now."""
        want, end = self.passes(vm) + 1 + n, time.time() + 100 * slower
        while self.passes(vm) < want:
            if vm.poll() is not None:
                self.fail("a VM ended with %d" % vm.returncode)
            if time.time() > end:
                self.fail("a VM stands still")
            time.sleep(0.05)

    def broker(self):
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                words = open("/proc/%s/cmdline" % pid).read().split("\0")
            except OSError:
                continue
            if "memory-broker" in words and any(word.startswith(self.work + "/") for word in words):
                return int(pid)
        return self.fail("no broker")

    def shared(self):
        done = subprocess.run([trine, "memory", "--group", "kills"], capture_output=True, text=True, env=self.env)
        return sum(int(line.split()[3]) for line in done.stdout.splitlines()[1:] if line.split()[0] == "all")

    def run(self):
        """MiB that were shared when it struck."""
        self.start("bt")
        self.start("interp")
        for vm in self.vms:
            self.more(vm, 0)
        time.sleep(SPAN * (self.n * 0.618 % 1))
        shared = self.shared()
        if self.n % 3 == 2:
            self.vms[0].kill()
            self.vms.pop(0).wait()
        else:
            os.kill(self.broker(), signal.SIGKILL)
        if self.n % 3 == 1:
            self.start("bt")
            self.more(self.vms[2], 0)
            self.broker()
        for vm in self.vms:
            self.more(vm, 3)
        for vm in self.vms:
            vm.stdin.write(b"x")
            vm.stdin.close()
        for vm in self.vms:
            if vm.wait(timeout=60 * slower) != 33:
                self.fail("exit status %d" % vm.returncode)
        return shared


def round_run(n):
    with tempfile.TemporaryDirectory(prefix="trine-") as work:
        one = Round(n, work)
        try:
            return one.run()
        finally:
            for vm in one.vms:
                if vm.poll() is None:
                    vm.kill()
                    vm.wait()


failed, shared = 0, []
with concurrent.futures.ThreadPoolExecutor(3) as pool:
    for job in concurrent.futures.as_completed([pool.submit(round_run, n) for n in range(rounds)]):
        if job.exception():
            failed += 1
            print("FAILED:", job.exception(), flush=True)
        else:
            shared.append(job.result())
print("%d rounds: %d failed; pages were shared in %d of them when it struck, %d MiB at most" % (rounds, failed, sum(map(bool, shared)), max(shared, default=0)))
if not any(shared):
    print("FAILED: in no round anything was shared")
sys.exit(bool(failed) or not any(shared))
