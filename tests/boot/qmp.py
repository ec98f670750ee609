#!/usr/bin/env python3
"""--qmp as a client sees it: modes, negotiation, every command, events, several clients, garbage and floods, the end.
usage: qmp.py TRINE BUTTON-IMAGE"""
import json, os, socket, stat, subprocess, sys, tempfile, time

trine, image = sys.argv[1:3]
work = tempfile.mkdtemp()
path = work + "/qmp"


def fail(why):
    print("FAILED:", why)
    vm.kill()
    sys.exit(1)


def check(what, ok):
    if not ok:
        fail(what)


class Client:
    def __init__(self, negotiate=True):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(30)
        self.s.connect(path)
        self.buf = b""
        self.events = []
        check("greeting", "QMP" in self.message())
        if negotiate:
            check("negotiation", self.ask("qmp_capabilities") == {})

    def message(self):
        while b"\n" not in self.buf:
            more = self.s.recv(65536)
            if not more:
                raise EOFError
            self.buf += more
        line, self.buf = self.buf.split(b"\n", 1)
        return json.loads(line)

    def answer(self):
        while True:
            m = self.message()
            if "event" not in m:
                return m
            check("timestamp", abs(m["timestamp"]["seconds"] - time.time()) < 100)
            self.events.append(m["event"])

    def full(self, name, **arguments):
        self.s.sendall(json.dumps({"execute": name, "arguments": arguments, "id": [name, {"a": 1}]}).encode())
        m = self.answer()
        check("id of " + name, m["id"] == [name, {"a": 1}])
        return m

    def ask(self, name, **arguments):
        m = self.full(name, **arguments)
        return m.get("return", m.get("error"))

    def wait(self, event):
        while event not in self.events:
            m = self.message()
            check("only events", "event" in m)
            self.events.append(m["event"])
        self.events.remove(event)


def start(*options):
    global vm
    vm = subprocess.Popen([trine, "run", "--kernel", image, "--memory", "4M", "--debug-exit", "--max-time", "120", "--quiet",
                           "--serial", "file:" + work + "/serial", "--qmp", "unix:" + path, *options])
    for _ in range(600):
        if os.path.exists(path) and os.path.exists(work + "/serial") and os.path.getsize(work + "/serial"):
            return
        time.sleep(0.05)
    fail("no start")


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
    import threading
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
a.wait("RESET")
b.wait("RESET")
check("powerdown", a.ask("system_powerdown") == {})
a.wait("POWERDOWN")
a.wait("SHUTDOWN")
check("status", vm.wait(60) == 0)
check("the guest saw the button", open(work + "/serial").read().count("!") == 2 and open(work + "/serial").read().endswith("B"))
check("the socket is gone", not os.path.exists(path))

os.unlink(work + "/serial")
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
check("quit", a.ask("quit") == {})
a.wait("SHUTDOWN")
check("status", vm.wait(60) == 0)

for why, address in (("not unix:PATH", "tcp:1"), ("No such file", "unix:/none/q"), ("has 1 to", "unix:" + "x" * 200)):
    r = subprocess.run([trine, "run", "--kernel", image, "--qmp", address], capture_output=True, text=True)
    check(address + r.stderr, r.returncode in (2, 3) and why in r.stderr and r.stderr.count("\n") == 1)
print("ok")
