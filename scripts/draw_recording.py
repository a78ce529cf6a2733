#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Draws what a program prints as a terminal that scrolls, in one SVG: PROGRAM | draw_recording.py [TEXT=SHOWN]...

Reads standard input as it comes. A wait counts for at most a second; the next line follows after LINE seconds at the earliest,
after a command or a heading later. A viewer without animations shows the last screen. TEXT is replaced by SHOWN.

The packages that record terminals are no longer kept (termtosvg), draw no SVG (asciinema), or no animation (rich).
"""

import sys
import time
from html import escape

COLUMNS, ROWS = 130, 32
WIDTH, HEIGHT = 7.25, 17  # of a character of 12 px
LINE, COMMAND, HEADING, MOST, END = 0.07, 0.7, 1.2, 1.0, 8.0

STYLE = """
text{font:12px "DejaVu Sans Mono",Menlo,Consolas,monospace;fill:#d1d5db;white-space:pre}
.c{fill:#fff;font-weight:bold}.h{fill:#fbbf24;font-weight:bold}
#s{animation:s %.1fs step-end infinite}
@media (prefers-reduced-motion:reduce){#s{animation:none}}
@keyframes s{%s}
"""


def kind(line):
    return "h" if line.startswith("== ") else "c" if line.startswith("$ ") else ""


def record(stream, replacements):
    """The rows as (seconds at which it is there, class, text)."""
    rows, now, before, least = [], 0.0, time.monotonic(), LINE
    for line in stream:
        seconds, before = time.monotonic() - before, time.monotonic()
        for text, shown in replacements:
            line = line.replace(text, shown)
        line = line.rstrip("\n").expandtabs()
        now += min(max(seconds, least), max(MOST, least))
        least = {"h": HEADING, "c": COMMAND}.get(kind(line), LINE)
        for at in range(0, max(len(line), 1), COLUMNS):
            rows.append((now, kind(line), line[at : at + COLUMNS]))
    return rows


def draw(rows):
    total = rows[-1][0] + END
    offset = lambda count: (ROWS - count) * HEIGHT
    frames = {f"{100 * seconds / total:.2f}": offset(count) for count, (seconds, _, _) in enumerate(rows, 1)}
    keyframes = f"0%{{transform:translateY({offset(0)}px)}}" + "".join(
        f"{percent}%{{transform:translateY({y}px)}}" for percent, y in frames.items()
    )
    width, height = COLUMNS * WIDTH + 32, ROWS * HEIGHT + 44
    lines = "\n".join(
        f"<text class='{style}' x='16' y='{(row + 1) * HEIGHT}'>{escape(text, quote=False)}</text>".replace(" class=''", "")
        for row, (_, style, text) in enumerate(rows)
        if text
    )
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" height="{height}" xml:space="preserve" role="img">
<title>A recording of scripts/demo.sh</title>
<desc>A terminal that scrolls: a simulated chip is provisioned, generates keys, and authenticates TLS and MQTT clients.</desc>
<style>{STYLE % (total, keyframes)}</style>
<clipPath id="w"><rect y="35" width="{width:.0f}" height="{ROWS * HEIGHT}"/></clipPath>
<rect width="{width:.0f}" height="{height}" rx="8" fill="#1f2937"/>
<circle cx="20" cy="16" r="5" fill="#6b7280"/><circle cx="38" cy="16" r="5" fill="#6b7280"/><circle cx="56" cy="16" r="5" fill="#6b7280"/>
<g clip-path="url(#w)"><g transform="translate(0 30)"><g id="s" transform="translate(0 {offset(len(rows))})">
{lines}
</g></g></g>
</svg>
"""


if __name__ == "__main__":
    ROWS_SEEN = record(sys.stdin, [argument.split("=", 1) for argument in sys.argv[1:]])
    if len(ROWS_SEEN) < ROWS:
        sys.exit("draw_recording.py: too little was printed")
    sys.stdout.write(draw(ROWS_SEEN))
