# SPDX-License-Identifier: MIT OR Apache-2.0
"""The pictures of docs/performance.md, as SVG text: the same figures give the same bytes."""

import math
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT = 960, 130, 30
# Distinguishable also without red-green vision.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999")
OF_COMMAND = {"Sign": "#0072b2", "Random": "#009e73", "Nonce": "#e69f00", "Read": "#56b4e9", "Info": "#999999", "GenKey": "#cc79a7"}


class Picture:
    def __init__(self, title, height):
        self.height = height
        self.lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13">',
            f"<title>{escape(title)}</title>",
            f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        ]
        self.text(LEFT, 24, title, size=16)

    def text(self, x, y, text, size=13, anchor="start", colour="#222222"):
        self.lines.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'
        )

    def rect(self, x, y, width, height, colour, opacity=1.0):
        self.lines.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" height="{height:.1f}" fill="{colour}" fill-opacity="{opacity}"/>'
        )

    def line(self, x1, y1, x2, y2, colour="#cccccc", width=1.0):
        self.lines.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width}"/>'
        )

    def curve(self, points, colour):
        self.lines.append(
            f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>'
        )
        self.lines += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>' for x, y in points]

    def legend(self, entries, y):
        x = LEFT
        for name, colour in entries:
            self.rect(x, y - 10, 12, 12, colour)
            self.text(x + 17, y, name)
            x += 32 + 8 * len(name)

    def write(self, path):
        path.write_text("\n".join([*self.lines, "</svg>", ""]), encoding="utf-8")


def step(largest, most=8):
    """Returns a round distance between marks, for at most this many of them."""
    size = 10 ** math.floor(math.log10(max(largest, 1e-9) / most))
    return next(size * factor for factor in (1, 2, 5, 10, 20) if largest / (size * factor) <= most)


def timeline(path, lanes):
    """lanes: (name, timeline of measure.py), drawn one above the other on one scale."""
    picture = Picture("One TLS 1.3 handshake on the bus", 90 + 100 * len(lanes))
    longest = max(bar["end"] for _, lane in lanes for bar in lane["bars"])
    bottom = 40 + 100 * len(lanes)

    def at(ms):
        return LEFT + ms / longest * (WIDTH - LEFT - RIGHT)

    for mark in range(int(longest / step(longest)) + 1):
        ms = mark * step(longest)
        picture.line(at(ms), 40, at(ms), bottom)
        picture.text(at(ms), bottom + 16, f"{ms:g} ms", anchor="middle")
    for number, (name, lane) in enumerate(lanes):
        top = 50 + 100 * number
        picture.text(LEFT - 8, top + 25, name, anchor="end")
        picture.text(LEFT - 8, top + 42, f"{lane['bars'][-1]['end']:.0f} ms", anchor="end", colour="#666666")
        for poll in lane["polls"]:
            picture.line(at(poll), top + 50, at(poll), top + 58, "#888888", 0.5)
        for bar in lane["bars"]:
            colour = OF_COMMAND.get(bar["name"], "#999999")
            picture.rect(at(bar["begin"]), top + 4, at(bar["ready"]) - at(bar["begin"]), 44, colour, 0.85)
            picture.rect(at(bar["ready"]), top + 4, at(bar["end"]) - at(bar["ready"]), 44, colour, 0.45)
        for wake in lane["wakes"]:
            picture.line(at(wake), top - 4, at(wake), top + 66, "#d55e00", 1.5)
    used = {bar["name"] for _, lane in lanes for bar in lane["bars"]}
    commands = [(name, OF_COMMAND.get(name, "#999999")) for name in sorted(used)]
    picture.legend([*commands, ("wake", "#d55e00"), ("poll while busy (short line)", "#888888")], bottom + 38)
    picture.write(path)


def histogram(path, title, values, bars=40):
    picture = Picture(title, 320)
    width = step(max(values), bars)
    counts = [0] * (int(max(values) / width) + 1)
    for value in values:
        counts[int(value / width)] += 1
    top, bottom = 50, 270
    scale = (WIDTH - LEFT - RIGHT) / len(counts)
    for mark in range(int(max(counts) / step(max(counts), 5)) + 1):
        count = mark * step(max(counts), 5)
        y = bottom - count / max(counts) * (bottom - top)
        picture.line(LEFT, y, WIDTH - RIGHT, y)
        picture.text(LEFT - 8, y + 4, f"{count:g}", anchor="end")
    picture.text(LEFT - 60, 160, "calls", anchor="end")
    for number, count in enumerate(counts):
        picture.rect(LEFT + number * scale, bottom - count / max(counts) * (bottom - top), scale - 1, count / max(counts) * (bottom - top), COLOURS[0])
    for mark in range(int(len(counts) * width / step(len(counts) * width)) + 1):
        value = mark * step(len(counts) * width)
        picture.text(LEFT + value / width * scale, bottom + 18, f"{value:g} ms", anchor="middle")
    picture.write(path)


def curves(path, title, unit_x, unit_y, named, logarithmic=True):
    """named: {name: [(x, y)]}. Both axes are logarithmic, or x in doublings and y from 0."""
    picture = Picture(title, 400)
    top, bottom = 50, 330
    xs = sorted({x for points in named.values() for x, _ in points})
    ys = [y for points in named.values() for _, y in points if y > 0]
    low, high = (10 ** math.floor(math.log10(min(ys))), 10 ** math.ceil(math.log10(max(ys)))) if logarithmic else (0, max(ys))

    def at(x, y):
        part = math.log(x / xs[0]) / math.log(xs[-1] / xs[0])
        height = math.log(y / low) / math.log(high / low) if logarithmic else y / high
        return LEFT + part * (WIDTH - LEFT - RIGHT), bottom - height * (bottom - top)

    if logarithmic:
        marks = [10.0**n for n in range(round(math.log10(low)), round(math.log10(high)) + 1)]
    else:
        marks = [n * step(high) for n in range(int(high / step(high)) + 1)]
    for mark in marks:
        _, y = at(xs[0], mark)
        picture.line(LEFT, y, WIDTH - RIGHT, y)
        picture.text(LEFT - 8, y + 4, f"{mark:g}", anchor="end")
    for x in xs:
        picture.text(at(x, max(low, 1e-9) if logarithmic else 0)[0], bottom + 18, f"{x:g}", anchor="middle")
    picture.text(LEFT - 60, (top + bottom) / 2, unit_y, anchor="end")
    picture.text(WIDTH / 2, bottom + 36, unit_x, anchor="middle")
    for (_, points), colour in zip(named.items(), COLOURS):
        picture.curve([at(x, y) for x, y in points if y > 0], colour)
    picture.legend(list(zip(named, COLOURS)), bottom + 60)
    picture.write(path)
