"""VMs of one --share group, for the tests beside this file: they run one guest script, and are told to go on by lines on their consoles."""
import atexit, os, shutil, subprocess, sys, tempfile, time

slower = float(os.environ.get("TRINE_TEST_SLOWER", "1"))


class Group:
    def __init__(self, trine, root, name, script, *files):
        """FILES: what else shall stand in the guest's /scripts."""
        self.trine, self.root, self.name, self.vms = trine, root, name, []
        self.work = tempfile.mkdtemp(prefix="trine-")
        atexit.register(shutil.rmtree, self.work, ignore_errors=True)
        os.environ["XDG_RUNTIME_DIR"] = self.work
        self.cache = subprocess.run([root + "/tools/guest/prepare", "--path"], capture_output=True, text=True).stdout.strip()
        open(self.work + "/" + name, "w").write(script)
        done = subprocess.run([root + "/tools/guest/extend", self.work + "/initrd", self.work + "/" + name, *files])
        if done.returncode:
            sys.exit(done.returncode)

    def start(self, *options, share="", words="", seconds=400):
        """SHARE: what follows the group's name in --share; WORDS: more of the kernel's command line."""
        out = "%s/out%d" % (self.work, len(self.vms) + 1)
        vm = subprocess.Popen([self.trine, "run", "--kernel", self.cache + "/vmlinuz", "--initrd", self.work + "/initrd", "--share", self.name + share, "--append",
                               ("console=ttyS0 loglevel=5 trine.script=%s %s" % (self.name, words)).rstrip(), "--stats", out + ".stats",
                               "--max-time", str(int(seconds * slower)), *options], stdin=subprocess.PIPE, stdout=open(out, "wb"), stderr=subprocess.STDOUT)
        vm.number, vm.out, vm.turns = len(self.vms) + 1, out, 0
        self.vms.append(vm)

    def fail(self, why):
        print("FAILED:", why)
        print(self.table()[1].stdout)
        for vm in self.vms:
            vm.kill()
            print("--- VM %d" % vm.number)
            print(open(vm.out, errors="replace").read()[-1500:])
        sys.exit(1)

    def until(self, what, seconds, ok):
        """Waits for OK, and says for how long; fails when a VM ends before."""
        start = time.time()
        while time.time() - start < seconds * slower:
            if ok():
                return time.time() - start
            for vm in self.vms:
                if vm.poll() is not None:
                    self.fail("VM %d ended before: %s" % (vm.number, what))
            time.sleep(0.1)
        self.fail(what)

    def printed(self, vm, text):
        return text in open(vm.out, errors="replace").read()

    def table(self):
        """({PID, "pool" or "all": its row of `trine memory` in MiB}, the finished command)."""
        done = subprocess.run([self.trine, "memory", "--group", self.name], capture_output=True, text=True)
        rows = [line.split() for line in done.stdout.splitlines()[1:]]
        return {r[0]: dict(zip(["size", "resident", "shared", "ballooned", "paged", "working"], map(int, r[1:7]))) for r in rows}, done

    def members(self):
        return {name: row for name, row in self.table()[0].items() if name not in ("pool", "all")}

    def brokers(self):
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                words = open("/proc/%s/cmdline" % pid).read().split("\0")
            except OSError:
                continue
            if "memory-broker" in words and any(word.startswith(self.work) for word in words):
                found.append(int(pid))
        return found

    def turn(self, seconds):
        for vm in self.vms:
            vm.stdin.write(b"go\n")
            vm.stdin.flush()
            vm.turns += 1
        for vm in self.vms:
            self.until("VM %d did not come to turn %d" % (vm.number, vm.turns), seconds, lambda: self.printed(vm, "turn %d done" % vm.turns))
            if self.printed(vm, "wrong:"):
                self.fail("VM %d found what it did not write" % vm.number)

    def end(self, seconds):
        """Every VM comes to its end, and has found all that it wrote."""
        for vm in self.vms:
            vm.stdin.write(b"end\n")
            vm.stdin.close()
        for vm in self.vms:
            if vm.wait(timeout=seconds * slower):
                self.fail("VM %d: exit status %d" % (vm.number, vm.returncode))
            if not self.printed(vm, "checked") or self.printed(vm, "wrong:"):
                self.fail("VM %d: the sums" % vm.number)
