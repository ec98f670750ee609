#!/usr/bin/env python3
"""`trine memory --svg`: well-formed, and its lines show what the table says; what is wrong is told.
usage: memory_svg.py TRINE SOURCE-ROOT"""
import os, re, subprocess, sys, tempfile, time
import xml.etree.ElementTree as xml

trine, root = sys.argv[1:3]
work = tempfile.mkdtemp()
cache = subprocess.run([root + "/tools/guest/prepare", "--path"], capture_output=True, text=True).stdout.strip()
if not os.path.exists(cache + "/initramfs.cpio"):
    print("no guest in %s: tools/guest/prepare makes it" % cache)
    sys.exit(77)
os.environ["XDG_RUNTIME_DIR"] = work
vms = [subprocess.Popen([trine, "run", "--kernel", cache + "/vmlinuz", "--initrd", cache + "/initramfs.cpio", "--append", "console=ttyS0 quiet",
                         "--memory", size, "--share", "drawn", "--quiet", "--serial", "file:" + work + "/" + size, "--max-time", "100"],
                        stdin=subprocess.DEVNULL) for size in ("128M", "256M")]


def check(what, ok):
    if not ok:
        for vm in vms:
            vm.kill()
        sys.exit("FAILED: " + what)


def memory(*options):
    return subprocess.run([trine, "memory", *options], capture_output=True, text=True)


def table():
    """The sums of the table in MiB, by column; None when not both VMs are there yet."""
    lines = [line.split() for line in memory("--group", "drawn").stdout.splitlines()]
    return dict(zip(lines[0][1:], map(int, lines[-1][1:7]))) if len(lines) == 5 and int(lines[-1][1]) == 384 else None


def told_apart(t):
    """No two of the picture's lines are the same, but those of what is not there (balloons, pages in a file)."""
    values = sorted(t[column] for column in ("SIZE", "RESIDENT", "SHARED", "BALLOONED", "WORKING")) if t else [0, 0]
    return all(b - a > 8 for a, b in zip(values, values[1:]))


for _ in range(800):
    if told_apart(table()):
        break
    time.sleep(0.1)
check("both VMs are in the group, and share: %s" % table(), told_apart(table()))
for _ in range(10):
    before, done, after = table(), memory("--group", "drawn", "--svg", work + "/picture.svg", "--seconds", "2"), table()
    if done.returncode or all(abs(before[c] - after[c]) <= 2 for c in before):
        break # they stood still
check("it draws: " + done.stderr, done.returncode == 0 and not done.stdout and not done.stderr)
root = xml.parse(work + "/picture.svg").getroot()
name = "{http://www.w3.org/2000/svg}"
check("an SVG of 800 by 360", root.tag == name + "svg" and root.get("width") == "800" and root.get("height") == "360")
texts = [t.text for t in root.iter(name + "text")]
check("its title", texts[0] == "group drawn: MiB of 2 VMs together, over 2 s")
scale = [(float(t.text), float(t.get("y")) - 4) for t in root.iter(name + "text") if t.get("text-anchor") == "end"]
check("a scale from 0 to the highest", [v for v, y in scale] == [0, 96, 192, 288, 384])
(low, floor), (high, top) = scale[0], scale[-1]
legend = {t.get("fill"): t.text for t in root.iter(name + "text") if t.get("fill")}
lines = {legend[p.get("stroke")]: [tuple(map(float, xy.split(","))) for xy in p.get("points").split()] for p in root.iter(name + "polyline")}
columns = {"size": "SIZE", "resident": "RESIDENT", "shared": "SHARED", "ballooned": "BALLOONED", "paged": "PAGED", "working set": "WORKING"}
check("a line for each: %s" % sorted(lines), sorted(lines) == sorted(columns))
for line, points in lines.items():
    check("three looks from left to right", [x for x, y in points] == [70, 425, 780])
    for x, y in points:
        value = (floor - y) / (floor - top) * high
        least, most = sorted((before[columns[line]], after[columns[line]]))
        check("%s: %.1f in the picture, %d to %d in the table" % (line, value, least, most), least - 4 <= value <= most + 4)
for status, why, options in ((3, "picture.svg", ("--group", "drawn", "--svg", work + "/none/picture.svg")), (3, "nobody", ("--group", "nobody", "--svg", work + "/x.svg")),
                             (2, "--seconds 0", ("--group", "drawn", "--svg", work + "/x.svg", "--seconds", "0")), (2, "--seconds 3601", ("--group", "drawn", "--seconds", "3601")),
                             (2, "--svg: needs a value", ("--group", "drawn", "--svg"))):
    done = memory(*options)
    check("%s: %d %s" % (options, done.returncode, done.stderr), done.returncode == status and why in done.stderr and done.stderr.count("\n") == 1)
check("no picture of a group that is not there", not os.path.exists(work + "/x.svg"))
for vm in vms:
    vm.terminate()
    vm.wait()
print("ok")
