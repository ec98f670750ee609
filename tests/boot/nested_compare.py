#!/usr/bin/env python3
"""Compares what guests of guest/ print on two engines, line by line, with a list of the differences that are known.

usage: nested_compare.py KNOWN NPT LEFT RIGHT GUEST...

LEFT and RIGHT are folders with GUEST.out: the guest's output, and a last line `exit STATUS`. A result is one of
  exit STATUS · NAME ok · NAME skipped · NAME failed · NAME missing · NAME: CHECK: expected A got B · MODE RING INSTRUCTION: SEEN (of audit)
KNOWN has lines `NPT GUEST | RESULT`, with NPT 1, 0 or * (both), below a comment with the reason: what RIGHT has and LEFT has not. Each
must come, but those with ? for NPT, which may; and nothing else. Exit status: 0; 1 an unexpected difference, or a known one that did not come."""

import re
import sys


def results(path):
    with open(path, errors="replace") as f:
        text = f.read()
    found = {}
    for line in text.replace("\r", "").split("\n"):
        if m := re.match(r"(not )?ok (\S+?)(:|$| # (\w+))", line):
            state = "failed" if m[1] else "skipped" if m[4] == "SKIP" else "ok"
            found[f"{m[2]} {state}"] = True
        elif (m := re.match(r"# (.*: expected \S+ got \S+) \(", line)) and not line.endswith("KNOWN"):
            found[re.sub(r"(expected|got) 1[0-9a-f]{5}\b", r"\1 ADDRESS", m[1])] = True
        elif m := re.match(r"audit\|(\d+)\|(\d)\|([^|]*)\|.*\|([^|]*)\|([^|]*)\|[^|]*\|(\d)\|[^|]*$", line):
            if m[6] == "0":
                found[f"{m[1]} {m[2]} {m[3]}: {m[5]}, not {m[4]}"] = True
        elif re.match(r"exit \d+$", line):
            found[line] = True
    return found


def differences(left, right):
    names = {r.rsplit(" ", 1)[0] for r in left if re.search(" (ok|skipped|failed)$", r)}
    shown = {r.rsplit(" ", 1)[0] for r in right if re.search(" (ok|skipped|failed)$", r)}
    return [r for r in right if r not in left] + [f"{n} missing" for n in sorted(names - shown)]


def known_of(path, npt):
    known = {}
    with open(path) as f:
        for line in f:
            if m := re.match(r"([01*?]) (\w+) \| (.*)$", line):
                if m[1] in ("*", "?", npt):
                    known.setdefault(m[2], {})[m[3]] = m[1] != "?"
    return known


def main():
    known_path, npt, left_dir, right_dir, *guests = sys.argv[1:]
    known = known_of(known_path, npt)
    same = named = wrong = 0
    for guest in guests:
        left = results(f"{left_dir}/{guest}.out")
        right = results(f"{right_dir}/{guest}.out")
        diff = differences(left, right)
        expected = known.get(guest, {})
        if not left or not right: # nothing to compare line by line
            diff, expected = ["no result"], {}
        for d in diff:
            if d in expected:
                named += 1
            else:
                wrong += 1
                print(f"unexpected: {guest} | {d}")
        for d in sorted(k for k, must in expected.items() if must and k not in diff):
            wrong += 1
            print(f"known, but not seen: {guest} | {d}")
        same += len([r for r in left if r in right])
    print(f"{len(guests)} guests: {same} results the same, {named} known differences, {wrong} unexpected")
    return 1 if wrong else 0


sys.exit(main())
