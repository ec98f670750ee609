"""A bar chart of bench/suite's report, as SVG: each row's time as a multiple of native's, logarithmic."""

import html
import math

COLOURS = ["#8c8c8c", "#c44e52", "#4c72b0", "#55a868", "#8172b2"]
LEFT, TOP, WIDTH, BAR, GAP = 110, 56, 640, 9, 8


def bars_of(report):
    """[(label, [(machine, times native)])] for every row that some machine and native have, the geometric mean first."""
    names = [name for name in report["machines"] if name != "native"]
    machines = report["machines"]
    rows = [("geometric mean", [(name, machines[name]["geometric_mean_native"]) for name in names])]
    rows += [(row, [(name, machines[name]["times_native"].get(row)) for name in names]) for row in report["rows"]]
    return names, [(label, values) for label, values in rows if any(value for _, value in values)]


def write(report, path):
    names, rows = bars_of(report)
    most = max([10, *(value for _, values in rows for _, value in values if value)])
    low, high = -0.3, math.log10(most) + 0.1

    def x(value):
        return LEFT + WIDTH * (min(max(math.log10(value), low), high) - low) / (high - low)

    step = BAR * len(names) + GAP
    height = TOP + step * len(rows) + 20
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 60}" height="{height}" font-family="sans-serif" font-size="11">',
           f'<rect width="100%" height="100%" fill="white"/>',
           f'<text x="8" y="16" font-size="13">Times native (logarithmic; shorter is faster). {html.escape(report["host"]["cpu"])}, '
           f'commit {html.escape(str(report["host"]["commit"]))}, mitigations={html.escape(report["mitigations"])}</text>']
    at = LEFT
    for k, name in enumerate(names):
        out.append(f'<rect x="{at}" y="24" width="10" height="10" fill="{COLOURS[k % len(COLOURS)]}"/><text x="{at + 14}" y="33">{html.escape(name)}</text>')
        at += 110
    tick = 1
    while tick <= most:
        out.append(f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{TOP - 8}" y2="{height - 16}" stroke="{"#444" if tick == 1 else "#ddd"}"/>'
                   f'<text x="{x(tick):.1f}" y="{height - 4}" text-anchor="middle">{tick}</text>')
        tick *= 10
    for k, (label, values) in enumerate(rows):
        y = TOP + step * k
        weight = ' font-weight="bold"' if k == 0 else ""
        out.append(f'<text x="{LEFT - 6}" y="{y + step / 2:.1f}" text-anchor="end"{weight}>{html.escape(label)}</text>')
        for m, (_, value) in enumerate(values):
            if value:
                left, right = sorted((x(1), x(value)))
                out.append(f'<rect x="{left:.1f}" y="{y + BAR * m}" width="{max(right - left, 1):.1f}" height="{BAR - 1}" fill="{COLOURS[m % len(COLOURS)]}"/>'
                           f'<text x="{right + 3:.1f}" y="{y + BAR * m + BAR - 1}" font-size="9">{value:.1f}</text>')
    out.append("</svg>")
    path.write_text("\n".join(out) + "\n")
