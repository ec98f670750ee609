#!/usr/bin/env python3
"""The virtio console (--console) under Debian's own driver: input that waits for it, output, the terminal's size, a Unix socket, a log of input.

usage: virtio_console.py TRINE SOURCE-ROOT ENGINE
"""

import fcntl
import json
import os
import pathlib
import pty
import re
import select
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time

TRINE, ROOT, ENGINE = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
CACHE = pathlib.Path(os.environ.get("TRINE_CACHE") or pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "trine") / "guest"
SECONDS = 60 * float(os.environ.get("TRINE_TEST_SLOWER", "1"))

# hvc0 is opened a second after its driver began, so that input which came before has to wait; a shell on it then does as it is told.
SCRIPT = """virtio
sleep 1
echo hvc-is-there
setsid sh -c 'exec sh -i </dev/hvc0 >/dev/hvc0 2>&1'
echo hvc-shell-ended
"""


def fail(text):
    print(f"FAILED: {text}")
    sys.exit(1)


def options(work, machine, *more):
    return [TRINE, "run", "--engine", ENGINE, "--machine", machine, "--kernel", CACHE / "vmlinuz", "--initrd", work / "initrd", "--memory", "256M",
            "--append", "console=ttyS0 loglevel=4 trine.script=hvc", "--quiet", *more]


def piped(work, machine):
    """Input that was there before the guest, and as much output as a few requests hold."""
    wanted = "".join(f"{n}\n" for n in range(1, 20001))
    r = subprocess.run(options(work, machine, "--console", "stdio", "--serial", f"file:{work}/serial", "--max-time", str(SECONDS)),
                       input="stty -echo -opost\nseq 1 20000\nexit\n", capture_output=True, text=True)
    serial = (work / "serial").read_text()
    if r.returncode or "hvc-shell-ended" not in serial or wanted not in r.stdout:
        fail(f"{machine}: status {r.returncode}\n{r.stderr}\n{serial[-2000:]}\n{r.stdout[-2000:]}")
    print(f"{machine}: a shell on hvc0, 20,000 lines of output in order")


class Reader:
    def __init__(self, fd):
        self.fd, self.text, self.end = fd, "", time.monotonic() + SECONDS

    def wait(self, pattern):
        start = len(self.text)
        while not re.search(pattern, self.text):
            if time.monotonic() > self.end or not select.select([self.fd], [], [], self.end - time.monotonic())[0]:
                fail(f"no {pattern!r}: {self.text[start:]!r}")
            piece = os.read(self.fd, 4096)
            if not piece:
                fail(f"the end instead of {pattern!r}: {self.text!r}")
            self.text += piece.decode(errors="replace")
        self.text = self.text[re.search(pattern, self.text).end():]


def terminal(work):
    """The console on a terminal, whose size the guest learns, at once and when it changes; Ctrl-A is still ours."""
    pid, fd = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 43, 132, 0, 0))
        os.execv(TRINE, [str(o) for o in options(work, "pc", "--console", "stdio")])
    out = Reader(fd)
    out.wait("# ")
    os.write(fd, b"stty size\n")
    out.wait(r"\n43 132\r\n")
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    for _ in range(20):  # the guest is told by an interrupt; its shell may ask before
        os.write(fd, b"stty size; echo asked\n")
        out.wait(r"\n\d+ \d+\r\nasked\r\n")
        os.write(fd, b"stty size | grep -q '^30 100' && echo now-small\n")
        time.sleep(0.1)
        if select.select([fd], [], [], 1)[0] and "\nnow-small" in os.read(fd, 4096).decode(errors="replace"):
            break
    else:
        fail("the guest was not told of the terminal's new size")
    os.write(fd, b"\x01c")
    out.wait(r"\(trine\) ")
    os.write(fd, b"quit\r")
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status:
        fail(f"terminal: exit status {status}")
    print("terminal: size 132 x 43, then 100 x 30; the prompt of Ctrl-A c")


def unix(work):
    path = str(work / "hvc.sock")
    vm = subprocess.Popen(options(work, "microvm", "--console", f"unix:{path}", "--serial", "none", "--max-time", str(SECONDS)),
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    s = socket.socket(socket.AF_UNIX)
    end = time.monotonic() + SECONDS
    while True:
        try:
            s.connect(path)
            break
        except OSError:
            if time.monotonic() > end:
                fail("no socket")
            time.sleep(0.05)
    out = Reader(s.fileno())
    out.wait("# ")
    s.sendall(b"echo $((6 * 7)) apples; exit\n")
    out.wait("42 apples")
    if vm.wait(SECONDS):
        fail(f"unix: exit status {vm.returncode}")
    print("unix: a client's shell")


def repeats(work):
    """Virtual time: input from a log reaches hvc0, and two runs end in the same state."""
    (work / "log").write_text(f"100 {b'echo $((6 * 7)) apples; exit'.hex()}0a\n")
    hashes = []
    for n in range(2):
        stats, out = work / f"stats{n}", work / f"out{n}"
        status = subprocess.run(options(work, "pc", "--time", "virtual", "--serial", "none", "--console", f"file:{out}", "--input-log", work / "log",
                                        "--stats", stats, "--max-time", str(SECONDS)), stdin=subprocess.DEVNULL).returncode
        if status or "42 apples" not in out.read_text():
            fail(f"virtual time: status {status}: {out.read_text()!r}")
        s = json.loads(stats.read_text())
        hashes.append((s["guest_instructions"], s["state_hash"]))
    if hashes[0] != hashes[1]:
        fail(f"virtual time: {hashes}")
    print(f"virtual time: {hashes[0][0]} instructions, twice the same")


def refusals(work):
    for more, why in ((["--console", "stdio", "--serial", "stdio"], "console stdio: standard input and output are the serial port's"),
                      (["--console", "pipe"], "--console pipe: none of stdio, none, file:PATH, unix:PATH"),
                      (["--console", "file:"], "--console file:: no path given"),
                      (["--console", f"unix:{work}", "--serial", "none"], f"{work}"),
                      (["--console", f"file:{work}/x", "--serial", f"file:{work}/x"], f"console {work}/x: the serial port leads there already")):
        r = subprocess.run(options(work, "pc", *more), stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if r.returncode not in (2, 3) or why not in r.stderr or r.stderr.count("\n") != 1:
            fail(f"{more}: status {r.returncode}, {r.stderr!r}")
    print("refused: 5 of 5")


def main():
    if not (CACHE / "vmlinuz").exists():
        print(f"no guest in {CACHE}: tools/guest/prepare makes it")
        sys.exit(77)
    with tempfile.TemporaryDirectory(prefix="trine-console.") as folder:
        work = pathlib.Path(folder)
        (work / "hvc").write_text(SCRIPT)
        subprocess.run([ROOT / "tools/guest/extend", work / "initrd", work / "hvc"], check=True)
        refusals(work)
        piped(work, "pc")
        piped(work, "microvm")
        unix(work)
        terminal(work)
        repeats(work)


main()
