#!/usr/bin/env python3
"""Debian's own balloon driver, on PCI and on MMIO: a process frees 400 MiB and the host has them back within 5 s (free page reporting); QMP's balloon takes
memory and gives it back, with BALLOON_CHANGE; --balloon SIZE holds from the start; deflate on OOM. At the prompt: figures of the statistics queue, and rounds of free page
hinting, one by one and eight at once, after which the driver has its pages back and no file has changed.
usage: balloon.py TRINE SOURCE-ROOT pc|microvm"""
import json, os, pty, re, socket, subprocess, sys, tempfile, threading, time

trine, root, machine = sys.argv[1:4]
slower = float(os.environ.get("TRINE_TEST_SLOWER", "1"))
work = tempfile.mkdtemp()
MIB = 1 << 20
vm = None

guest = """virtio
mkfifo /tmp/p
dd if=/dev/zero of=/tmp/p bs=400M count=1 2>/dev/null &
dd=$!
exec 3</tmp/p
head -c 1 <&3 >/dev/null
echo held
read word
kill -9 $dd
exec 3<&-
echo freed
read word
head -c 100m /dev/urandom >/tmp/kept
sum=$(md5sum </tmp/kept)
echo summed
read word
echo 3 >/proc/sys/vm/drop_caches
[ "$(md5sum </tmp/kept)" = "$sum" ] && echo "file kept"
rm /tmp/kept
free -m | sed -n 's/^Mem: *\\([0-9]*\\) .*/total \\1/p'
dd if=/dev/zero of=/tmp/file bs=1M count=300 2>/dev/null && echo "oom $(md5sum </tmp/file | cut -c 1-8)"
rm /tmp/file
read word
"""


def fail(why):
    print("FAILED:", why)
    if vm and vm.poll() is None:
        print("resident %d MiB" % (resident() >> 20))
    os.system("tail -n 30 '%s/out'" % work)
    if vm:
        vm.kill()
    sys.exit(1)


def resident():
    return int(re.search(r"RssShmem:\s*(\d+)", open("/proc/%d/status" % vm.pid).read()).group(1)) * 1024


def waited():
    """Seconds that the VM's threads have waited for a core so far."""
    total = 0
    for task in os.listdir("/proc/%d/task" % vm.pid):
        try:
            total += int(open("/proc/%d/task/%s/schedstat" % (vm.pid, task)).read().split()[1]) / 1e9
        except OSError:
            pass
    return total


def until(what, seconds, ok, spent=lambda: 0):
    """SPENT: what counts for nothing."""
    start, before = time.time(), spent()
    while time.time() - start - (spent() - before) < seconds * slower:
        if ok():
            return time.time() - start - (spent() - before)
        if vm.poll() is not None:
            fail("the VM ended before: " + what)
        time.sleep(0.05)
    fail(what)


def printed(text):
    return text.encode() in open(work + "/out", "rb").read()


def word():
    os.write(master, b"\n")


def copy():
    """The terminal's output into a file, until the VM closes it."""
    with open(work + "/out", "ab", buffering=0) as out:
        try:
            while got := os.read(master, 65536):
                out.write(got)
        except OSError:
            pass


def prompt(command, answer):
    """The groups of the next ANSWER, after COMMAND at the prompt of Ctrl-A c."""
    start = len(open(work + "/out", "rb").read())
    found = []

    def seen():
        text = open(work + "/out", "rb").read()[start:].decode(errors="replace")
        found[:] = re.findall(answer, text, re.S)
        return found

    os.write(master, b"\x01c" + command.encode() + b"\r")
    until("no answer to " + command, 30, seen)
    os.write(master, b"\x01c")
    return tuple(map(int, found[-1])) if isinstance(found[-1], tuple) else found[-1]


def balloon_says():
    """(KiB hinted so far, available, free, age of these two in ms): the figures that were asked for the time before."""
    return prompt("info balloon", r"(\d+) KiB hinted so far\r\nthe guest had (\d+) KiB available, (\d+) KiB free, (\d+) ms ago")


def figures(what, ok):
    """Waits for figures that are younger than this call, and OK."""
    start = time.time()

    def seen():
        asked = time.time()
        said = balloon_says()
        return said[3] < (asked - start) * 1000 and ok(said)

    until(what, 30, seen)


def hints(name, asks):
    """Free pages are asked for, ASKS times at once: the driver gives 200 MiB, and has them back."""
    before = balloon_says()[0]
    for _ in range(asks):
        prompt("free_pages", "free_pages")
    until(name + " of hints has not come", 30, lambda: balloon_says()[0] >= before + (200 << 10))
    figures("the driver has not got its pages back after " + name, lambda said: said[2] > free * 3 // 4)


class Qmp:
    def __init__(self):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(60)
        self.s.connect(work + "/qmp")
        self.f = self.s.makefile("rb")
        self.events = []
        self.f.readline()
        self.ask("qmp_capabilities")

    def ask(self, name, **arguments):
        self.s.sendall(json.dumps({"execute": name, "arguments": arguments}).encode())
        while True:
            m = json.loads(self.f.readline())
            if "event" not in m:
                return m.get("return", m.get("error"))
            self.events.append(m)

    def actual(self):
        return self.ask("query-balloon")["actual"]


open(work + "/balloon", "w").write(guest)
cache = subprocess.run([root + "/tools/guest/prepare", "--path"], capture_output=True, text=True).stdout.strip()
done = subprocess.run([root + "/tools/guest/extend", work + "/initrd", work + "/balloon"])
if done.returncode:
    sys.exit(done.returncode)
master, slave = pty.openpty()
open(work + "/out", "wb").close()
vm = subprocess.Popen([trine, "run", "--kernel", cache + "/vmlinuz", "--initrd", work + "/initrd", "--machine", machine, "--memory", "768M", "--balloon", "704M",
                       "--append", "console=ttyS0 loglevel=5 trine.script=balloon", "--qmp", "unix:" + work + "/qmp", "--max-time", str(250 * slower),
                       "--stats", work + "/stats"], stdin=slave, stdout=slave, stderr=slave)
os.close(slave)
threading.Thread(target=copy, daemon=True).start()
until("no 400 MiB", 150, lambda: printed("held"))
q = Qmp()
until("the driver has not come down to 704M", 30, lambda: q.actual() == 704 * MIB)
high = resident()
if high < 400 * MIB:
    fail("400 MiB are touched, and the host sees %d MiB" % (high >> 20))
word()
until("the process is not gone", 30, lambda: printed("freed"))
# Linux reports whole blocks of 2 MiB, in passes two seconds apart: nine tenths within 5 s, in which the VM does not wait for others on the host's cores.
took = until("the host has not got 400 MiB back", 5, lambda: high - resident() >= 350 * MIB, waited)
print("resident %d MiB, %d MiB %.1f s after 400 MiB were freed" % (high >> 20, resident() >> 20, took))

word()
until("the file is not there", 60, lambda: printed("summed"))
prompt("info balloon", "KiB hinted so far") # asks for figures
figures("the driver says nothing of its memory", lambda said: said[2] > 300 << 10)
free = balloon_says()[2]
for n in range(1, 4):
    hints("round %d" % n, 1)
print("hints: %d MiB in three rounds; %d MiB free before, %d after" % (balloon_says()[0] >> 10, free >> 10, balloon_says()[2] >> 10))
# Rounds that are asked for while another is under way, or has ended and the driver does not know it yet.
hints("eight rounds at once", 8)

check = q.ask("balloon", value=0)
if check.get("desc") != "Parameter 'target' expects a size":
    fail("a balloon of nothing: %s" % check)
q.ask("balloon", value=256 * MIB)
until("the balloon has not been filled", 30, lambda: q.actual() == 256 * MIB)
if not any(e["event"] == "BALLOON_CHANGE" and e["data"]["actual"] == 256 * MIB for e in q.events):
    fail("no BALLOON_CHANGE")
low = resident()
word() # the guest sees its balloon, and takes more than it has: deflate on OOM
until("the guest did not get its memory on OOM", 60, lambda: printed("oom"))
if q.actual() <= 256 * MIB:
    fail("the balloon did not give way")
print("balloon at 256 MiB: resident %d MiB; after the guest ran out of memory it has %d MiB" % (low >> 20, q.actual() >> 20))
q.ask("balloon", value=4096 * MIB)
until("the balloon has not been emptied", 30, lambda: q.actual() == 768 * MIB)
word()
if vm.wait(timeout=60 * slower):
    fail("exit status %d" % vm.returncode)
text = open(work + "/out", errors="replace").read()
if not re.search(r"oom [0-9a-f]{8}", text):
    fail("the file")
if "file kept" not in text:
    fail("a file has changed while free pages were hinted")
stats = json.load(open(work + "/stats"))
if stats["memory"]["ballooned_bytes"]:
    fail("%d bytes are still in the balloon" % stats["memory"]["ballooned_bytes"])
