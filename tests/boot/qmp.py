#!/usr/bin/env python3
"""--qmp as a client sees it: modes, negotiation, every command, events, several clients, garbage and floods, the end.
usage: qmp.py TRINE BUTTON-IMAGE RESET-IMAGE TRAY-IMAGE"""
import os, signal, socket, stat, struct, subprocess, sys, tempfile, threading, time
from qmp_client import Client as Connection

trine, image, reset_image, tray_image = sys.argv[1:5]
work = tempfile.mkdtemp()
path = work + "/qmp"


def fail(why):
    print("FAILED:", why)
    vm.kill()
    sys.exit(1)


def check(what, ok):
    if not ok:
        fail(what)


def Client(negotiate=True):
    return Connection(path, check, negotiate)


def start(*options, image=image, mask=0o022):
    global vm
    if os.path.exists(work + "/serial"):
        os.unlink(work + "/serial")
    before = os.umask(mask)
    vm = subprocess.Popen([trine, "run", "--kernel", image, "--memory", "4M", "--debug-exit", "--max-time", "120", "--quiet",
                           "--serial", "file:" + work + "/serial", "--qmp", "unix:" + path, *options])
    os.umask(before)
    for _ in range(600):
        if os.path.exists(path) and os.path.exists(work + "/serial") and os.path.getsize(work + "/serial"):
            return
        time.sleep(0.05)
    fail("no start")


def wait_for(what):
    for _ in range(400):
        if what():
            return True
        time.sleep(0.05)
    return False


def ticks():
    return os.path.getsize(work + "/serial")


start()
check("mode 0600", stat.S_IMODE(os.stat(path).st_mode) == 0o600)
a = Client(negotiate=False)
check("before negotiation", a.ask("query-status")["class"] == "CommandNotFound")
check("negotiation", a.ask("qmp_capabilities") == {})
check("twice", a.ask("qmp_capabilities")["class"] == "CommandNotFound")
names = [c["name"] for c in a.ask("query-commands")]
for name in ["qmp_capabilities", "query-status", "stop", "cont", "system_powerdown", "system_reset", "quit", "screendump", "save",
             "blockdev-change-medium", "eject", "balloon", "query-balloon"]:
    check("command " + name, name in names)
check("running", a.ask("query-status") == {"running": True, "singlestep": False, "status": "running"})
check("unknown", a.ask("nothing")["class"] == "CommandNotFound")
check("missing argument", "missing" in a.ask("screendump")["desc"])
check("wrong argument", "no string" in a.ask("screendump", filename=7)["desc"])
check("no such device", "nothing0" in a.ask("eject", device="nothing0")["desc"])
check("no balloon", a.ask("query-balloon")["class"] == "DeviceNotActive" and a.ask("balloon", value=1 << 20)["class"] == "DeviceNotActive")
check("no size", "expects a size" in a.ask("balloon", value=-1)["desc"] and "missing" in a.ask("balloon")["desc"])
check("save needs virtual time", "virtual" in a.ask("save", filename=work + "/s")["desc"])

# Several clients, each with every event; stop holds the guest, cont lets it go.
b = Client()
check("stop", b.ask("stop") == {})
a.wait("STOP")
b.wait("STOP")
check("paused", a.ask("query-status")["status"] == "paused")
time.sleep(0.3)
before = ticks()
time.sleep(0.5)
check("a stopped guest runs", ticks() == before)
check("cont", a.ask("cont") == {})
b.wait("RESUME")
for _ in range(200):
    if ticks() > before:
        break
    time.sleep(0.05)
check("a resumed guest stands", ticks() > before)

# Garbage: an error each, and the connection goes on.
for text in [b"hello\n", b"\x00\x01\xff\n", b"[1, 2]\n", b'{"execute": query-status}\n', b'{"execute": 5}', b'{"execute": "a", }\n',
             b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}\n", b'{"execute": "\\ud800"}\n', b"{" + b"a" * 70000 + b"\n"]:
    a.s.sendall(text)
    check("garbage %r" % text[:20], "error" in a.answer())
check("after garbage", a.ask("query-status")["status"] == "running")
a.s.sendall(b'\xff{"execute"')
time.sleep(0.1)
a.s.sendall(b': "query-status", "id": "\\u00e9\\u20ac"}')
check("in pieces", a.answer()["id"] == "\u00e9\u20ac")

# A flood, whose sender reads late: everything is answered, in order.
c = Client()
c.s.setblocking(False)
sent = got = 0
N = 3000
out = b"".join(b'{"execute": "query-status", "id": %d}' % i for i in range(N))
stalled = 0
while sent < len(out) and stalled < 20:
    try:
        sent += c.s.send(out[sent:])
    except BlockingIOError:
        stalled += 1
        time.sleep(0.01)
check("others are served meanwhile", b.ask("query-status")["status"] == "running")
c.s.setblocking(True)
c.s.settimeout(30)
if sent < len(out):
    threading.Thread(target=lambda: c.s.sendall(out[sent:]), daemon=True).start()
for i in range(N):
    check("flood answer %d" % i, c.answer()["id"] == i)

# Clients come and go; a fifth waits for a place.
for i in range(20):
    d = Client(negotiate=False)
    d.s.sendall(b'{"execute": "qmp_cap')
    d.s.close()
others = [Client()]
late = socket.socket(socket.AF_UNIX)
late.connect(path)
late.settimeout(0.3)
try:
    check("a fifth client is greeted", not late.recv(100))
except TimeoutError:
    pass
others.pop().s.close()
late.settimeout(30)
check("a place is free", b"QMP" in late.recv(100))
late.close()
c.s.close()

check("reset", a.ask("system_reset") == {})
for client in (a, b):
    check("whose reset", client.wait("RESET") == {"guest": False, "reason": "host-qmp-system-reset"})
check("powerdown", a.ask("system_powerdown") == {})
for client in (a, b):
    check("powerdown's data", client.wait("POWERDOWN") is None)
    check("whose shutdown", client.wait("SHUTDOWN") == {"guest": True, "reason": "guest-shutdown"})
check("status", vm.wait(60) == 0)
check("the guest saw the button", open(work + "/serial").read().count("!") == 2 and open(work + "/serial").read().endswith("B"))
check("the socket is gone", not os.path.exists(path))

start("--time", "virtual")
a = Client()
check("save", a.ask("save", filename=work + "/snapshot") == {})
check("snapshot", os.path.getsize(work + "/snapshot") > 1000)
check("save into nowhere", "No such file" in a.ask("save", filename=work + "/none/s")["desc"])
check("stop", a.ask("stop") == {})
time.sleep(0.2)
before = ticks()
time.sleep(0.3)
check("stands", ticks() == before)
check("cont", a.ask("cont") == {})
check("stopped again", a.ask("stop") == {} and a.ask("save", filename=work + "/snapshot2") == {})
check("quit", a.ask("quit") == {})
a.wait("SHUTDOWN")
check("status", vm.wait(60) == 0 and os.path.getsize(work + "/snapshot2") > 1000)

# Each of two commands that are already done changes nothing. A reset and the power button while the guest is stopped come when it goes on.
start(mask=0)
check("mode 0600 whatever the umask", stat.S_IMODE(os.stat(path).st_mode) == 0o600)
a, b = Client(), Client()
check("no descriptor is passed on", not [fd for fd in os.listdir("/proc/%d/fd" % vm.pid) if int(fd) > 2 and not int(
    open("/proc/%d/fdinfo/%s" % (vm.pid, fd)).read().split("flags:")[1].split()[0], 8) & os.O_CLOEXEC])
check("cont twice", a.ask("cont") == {} and b.ask("query-status")["running"] and not b.events)
check("stop twice", a.ask("stop") == {} and a.ask("stop") == {} and b.ask("query-status") == {"running": False, "singlestep": False, "status": "paused"})
check("one STOP", [name for name, data in b.events] == ["STOP"] and [name for name, data in a.events] == ["STOP"])
b.events.clear()
check("reset while stopped", a.ask("system_reset") == {} and a.ask("query-status")["status"] == "paused")
before = ticks()
time.sleep(0.3)
check("stands", ticks() == before and a.ask("query-status")["status"] == "paused")
check("cont", a.ask("cont") == {} and a.ask("cont") == {})
check("whose reset", b.wait("RESET") == {"guest": False, "reason": "host-qmp-system-reset"})
check("stop", a.ask("stop") == {} and a.ask("system_powerdown") == {} and a.ask("query-status")["status"] == "paused" and a.ask("cont") == {})
check("whose shutdown", b.wait("SHUTDOWN") == {"guest": True, "reason": "guest-shutdown"})
check("status", vm.wait(60) == 0)

# One that does not read, and one that goes while it is written to, hold up nobody: not the others, not the guest, not the end.
start()
a, deaf = Client(), Client()
deaf.s.setblocking(False)
for stalled in range(50):
    try:
        deaf.s.send(b'{"execute": "query-commands"}' * 1000)
    except BlockingIOError:
        time.sleep(0.01)
for i in range(3):
    gone = Client()
    gone.s.sendall(b'{"execute": "query-commands"}' * 2000)
    gone.s.close()
check("others are served", a.ask("query-status")["running"])
before = ticks()
time.sleep(0.5)
check("the guest runs", ticks() > before)
full = [Client(), Client()]
waiting = socket.socket(socket.AF_UNIX)
waiting.connect(path)


def loop_ticks():
    return sum(map(int, open("/proc/%d/task/%d/stat" % (vm.pid, vm.pid)).read().rsplit(")", 1)[1].split()[11:13]))


before = loop_ticks()
time.sleep(1)
check("a client that waits for a place costs nothing", loop_ticks() - before < 30)
check("quit", a.ask("quit") == {})
check("whose shutdown", a.wait("SHUTDOWN") == {"guest": False, "reason": "host-qmp-quit"})
check("status", vm.wait(20) == 0)

# A signal, and the guest's own reset: before --reboot the end, with it an event; whose it was.
start()
a = Client()
vm.send_signal(signal.SIGTERM)
check("whose shutdown", a.wait("SHUTDOWN") == {"guest": False, "reason": "host-signal"})
check("status", vm.wait(20) == 128 + signal.SIGTERM)
start(image=reset_image)
a = Client()
a.ask("system_powerdown")
check("whose shutdown", a.wait("SHUTDOWN") == {"guest": True, "reason": "guest-reset"})
check("status", vm.wait(20) == 1)
start("--reboot", image=reset_image)
a = Client()
for command, data in (("system_powerdown", {"guest": True, "reason": "guest-reset"}), ("system_reset", {"guest": False, "reason": "host-qmp-system-reset"}),
                      ("system_powerdown", {"guest": True, "reason": "guest-reset"})):
    a.ask(command)
    check("whose reset", a.wait("RESET") == data)
a.ask("quit")
check("status", vm.wait(20) == 0)

# A debugger and `stop` do not mix.
vm = subprocess.Popen([trine, "run", "--kernel", image, "--memory", "4M", "--max-time", "60", "--quiet", "--serial", "none", "--gdb", "unix:" + work + "/gdb",
                       "--qmp", "unix:" + path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
for _ in range(200):
    if os.path.exists(path) and os.path.exists(work + "/gdb"):
        break
    time.sleep(0.05)
a = Client()
check("stop beside a debugger", "debugger" in a.ask("stop")["desc"] and "debugger" in a.ask("cont")["desc"])
check("it waits", a.ask("query-status")["status"] == "paused")
a.ask("quit")
check("status", vm.wait(20) == 0)

# Pictures and media, on a machine with a display and a CD. What is in a drive is locked: nobody may write to it.
def held(path):
    r = subprocess.run([trine, "run", "--kernel", image, "--memory", "4M", "--quiet", "--serial", "none", "--max-time", "1", "--disk", path], capture_output=True, text=True)
    check("a writer: %d %s" % (r.returncode, r.stderr), r.returncode in (3, 124))
    return "is in use by another virtual machine" in r.stderr


# A guest that locks the tray is asked for its medium, and one that does not answer keeps it; until somebody forces it.
for name in ("/first", "/second"):
    with open(work + name, "wb") as f:
        f.truncate(1 << 20)
start("--cdrom", work + "/first", image=tray_image)
a = Client()
for _ in range(2):
    check("eject a locked drive", "Device 'ide1-cd0' is locked" in a.ask("eject", id="ide1-cd0")["desc"])
    check("change what is locked", "is locked" in a.ask("blockdev-change-medium", id="ide1-cd0", filename=work + "/second", force=False)["desc"])
check("the medium stays", held(work + "/first") and not held(work + "/second"))
check("the guest is asked", wait_for(lambda: b"?" in open(work + "/serial", "rb").read()))
# The guest asks the drive all the time, and it may be at work.
check("by force", wait_for(lambda: a.ask("blockdev-change-medium", id="ide1-cd0", filename=work + "/second", force=True) == {}))
check("changed by force", held(work + "/second") and not held(work + "/first"))
check("what locked the old one is gone", wait_for(lambda: a.ask("eject", id="ide1-cd0") == {}) and not held(work + "/second"))
a.ask("quit")
check("status", vm.wait(20) == 0)

seabios = os.path.exists("/usr/share/seabios/bios-256k.bin")
if seabios:
    for name, size in (("/first", 1 << 20), ("/second", 1 << 20), ("/odd", 1000)):
        with open(work + name, "wb") as f:
            f.truncate(size)
    vm = subprocess.Popen([trine, "run", "--memory", "16M", "--cdrom", work + "/first", "--max-time", "100", "--quiet", "--serial", "none", "--qmp", "unix:" + path],
                          stdin=subprocess.DEVNULL)
    for _ in range(600):
        if os.path.exists(path):
            break
        time.sleep(0.05)
    a = Client()
    for _ in range(100):
        check("screendump", a.ask("screendump", filename=work + "/picture.png") == {})
        with open(work + "/picture.png", "rb") as f:
            head = f.read(24)
        if head[16:] == struct.pack(">II", 720, 400):
            break
        time.sleep(0.1)
    check("a PNG of the text screen", head == b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 720, 400))
    check("screendump into nowhere", "No such file" in a.ask("screendump", filename=work + "/none/p")["desc"])
    check("screendump onto a folder", "irectory" in a.ask("screendump", filename=work)["desc"])
    for name in ("ide1-cd1", "ide0-cd0", "ide1-cd", "cd0", "/first"):
        check("no drive " + name, "Device '%s' not found" % name == a.ask("eject", device=name)["desc"])
    check("in the drive", held(work + "/first") and not held(work + "/second"))
    for name, why in (("/missing", "No such file"), ("", "is a directory"), ("/odd", "no multiple of 512")):
        check("not a medium", why in a.ask("blockdev-change-medium", device="ide1-cd0", filename=work + name)["desc"])
        check("the old one stays", held(work + "/first"))
    check("another", a.ask("blockdev-change-medium", device="ide1-cd0", filename=work + "/second") == {})
    check("changed", held(work + "/second") and not held(work + "/first"))
    check("eject", a.ask("eject", id="ide1-cd0") == {} and not held(work + "/second"))
    check("eject nothing", a.ask("eject", id="ide1-cd0") == {})
    a.ask("quit")
    check("status", vm.wait(20) == 0)

for why, address in (("not unix:PATH", "tcp:1"), ("No such file", "unix:/none/q"), ("has 1 to", "unix:" + "x" * 200)):
    r = subprocess.run([trine, "run", "--kernel", image, "--qmp", address], capture_output=True, text=True)
    check(address + r.stderr, r.returncode in (2, 3) and why in r.stderr and r.stderr.count("\n") == 1)
if not seabios:
    print("not tried: pictures and media (package seabios)")
    sys.exit(77)
print("ok")
