"""What bench/run and bench/suite share: starting machines, watching their serial lines, facts about host and guest."""

import collections
import datetime
import json
import os
import pathlib
import re
import select
import signal
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent


class Failure(Exception):
    """A machine did not do its work; the text says why."""


def guest_files(tool="prepare"):
    """The folder of tools/guest/TOOL's cache."""
    path = subprocess.run([ROOT / "tools/guest" / tool, "--path"], capture_output=True, text=True, check=True).stdout.strip()
    return pathlib.Path(path)


def output_first_line(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    text = (done.stdout or done.stderr).strip()
    return text.splitlines()[0] if text else None


class Console:
    """What a guest writes to its serial line: (host's time, text) for each line."""

    def __init__(self):
        self.text = b""
        self.lines = []

    def feed(self, data):
        now = time.monotonic()
        self.text += data
        while b"\n" in self.text:
            line, self.text = self.text.split(b"\n", 1)
            self.lines.append((now, line.decode(errors="replace").strip()))

    def tail(self):
        return " | ".join(line for _, line in self.lines[-3:] if line)


Watched = collections.namedtuple("Watched", "console start end cpu_s status said")


def process_watch(command, timeout, serial=None, **options):
    """Runs a machine until it ends. Its serial line is its standard output, or the file `serial`. Returns a Watched."""
    console = Console()
    start = time.monotonic()
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE if serial is None else errors,
                                   stderr=errors, start_new_session=True, **options)
        source = process.stdout
        status = None
        try:
            if source is not None:
                os.set_blocking(source.fileno(), False)
            while True:
                if status is None:
                    pid, raw, usage = os.wait4(process.pid, os.WNOHANG)
                    if pid:
                        status = process.returncode = os.waitstatus_to_exitcode(raw)
                if source is None and serial.exists():
                    source = open(serial, "rb")
                data = source.read() if source is not None else None
                if data:
                    console.feed(data)
                elif status is not None:
                    break
                elif serial is None:
                    select.select([source], [], [], 0.05)
                else:
                    time.sleep(0.005)
                if time.monotonic() - start > timeout:
                    raise Failure(f"no end after {timeout:.0f} s; last said: {console.tail()}")
            end = time.monotonic()
        finally:
            if status is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            if source is not None:
                source.close()
        errors.seek(0)
        said = errors.read().decode(errors="replace")
    return Watched(console, start, end, usage.ru_utime + usage.ru_stime, status, said)


def host_facts():
    cpu = re.search(r"^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return {"cpu": cpu.group(1) if cpu else "unknown CPU", "cpus": os.cpu_count(), "kernel": os.uname().release,
            "load_before": os.getloadavg()[0], "commit": output_first_line(["git", "-C", str(ROOT), "describe", "--always", "--dirty"])}


def trine_command(program, engine, kernel, initrd, append, memory_mib, timeout, stats):
    return [program, "run", "--engine", engine, "--memory", f"{memory_mib}M", "--kernel", kernel, "--initrd", initrd, "--append", append,
            "--max-time", str(int(timeout)), "--stats", stats]


QEMU = "qemu-system-x86_64"


def qemu_command(kernel, initrd, append, memory_mib):
    return [QEMU, "-accel", "tcg", "-cpu", "max,la57=off", "-smp", "1", "-m", str(memory_mib), "-nodefaults", "-display", "none",
            "-serial", "stdio", "-no-reboot", "-kernel", kernel, "-initrd", initrd, "-append", append]


def engines_usable(program):
    """Names of Trine's engines that work here, and why the others do not: ([NAME], {"trine:NAME": WHY})."""
    if not program.exists():
        return [], {"trine": f"{program} is not built"}
    done = subprocess.run([program, "engines"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    engines = re.findall(r"^(\w+): (usable|not usable: .*)$", done.stdout, re.MULTILINE)
    if not engines:
        return [], {"trine": "`trine engines` names none"}
    return [name for name, how in engines if how == "usable"], {f"trine:{name}": how for name, how in engines if how != "usable"}


def manifest_read(folder):
    """The single values of a cache's manifest."""
    lines = (folder / "manifest").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith(("sha256", "deb_")))


def result_write(report, output, suffix=""):
    """Writes REPORT as JSON, whole or not at all; OUTPUT null: under bench/results. Returns the path."""
    output = output or ROOT / "bench/results" / (datetime.datetime.now().strftime("%Y%m%d-%H%M%S") + suffix + ".json")
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(output.name + ".partial")
    partial.write_text(json.dumps(report, indent=1) + "\n")
    partial.rename(output)
    return output
