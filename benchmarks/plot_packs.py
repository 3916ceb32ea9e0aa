"""Draw throughput against lanes from the lines of ``bench_pack``.

python -m benchmarks.plot_packs benchmarks/results/pack-cpu.jsonl docs/explanation/packs.svg
"""

import json
import math
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

WIDTH, HEIGHT, LEFT, TOP, GAP = 760, 330, 56, 56, 56
PANEL_WIDTH, PANEL_HEIGHT = 296, 214
COLOURS = {"exact": "#1b6ca8", "fast": "#c2571a"}
DASHES = {"sgd": "none", "adam": "5 4"}
TEXT, FAINT = "#333333", "#d9d9d9"
HIGHEST = 7.0

Line = Mapping[str, Any]


def main() -> None:
    """Read the lines and write the picture."""
    source, target = map(Path, sys.argv[1:3])
    lines = [json.loads(text) for text in source.read_text().splitlines()]
    target.write_text("\n".join(_picture([line for line in lines if "lanes" in line])) + "\n")


def _picture(lines: list[Line]) -> Iterable[str]:
    networks = list(dict.fromkeys(line["network"] for line in lines))
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="system-ui, sans-serif" font-size="12" fill="{TEXT}">'
    )
    yield f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
    yield _text(LEFT, 20, "Speed of a pack, in units of the best plain loop, trial after trial")
    for index, network in enumerate(networks):
        left = LEFT + index * (PANEL_WIDTH + GAP)
        yield from _panel(left, network, [line for line in lines if line["network"] == network])
    yield _text(LEFT, HEIGHT - 8, "lanes, one core, batch of 100; solid sgd, dashed adam")
    yield "</svg>"


def _panel(left: int, network: str, lines: list[Line]) -> Iterable[str]:
    counts = sorted({line["lanes"] for line in lines})
    yield _text(left, TOP - 12, network, weight="bold")
    for ratio in range(int(HIGHEST) + 1):
        y = _y(ratio)
        width = 1.5 if ratio == 1 else 1
        colour = "#999999" if ratio == 1 else FAINT
        yield (
            f'<line x1="{left}" x2="{left + PANEL_WIDTH}" y1="{y:.1f}" y2="{y:.1f}" '
            f'stroke="{colour}" stroke-width="{width}"/>'
        )
        yield _text(left - 8, y + 4, f"{ratio}×", anchor="end")
    for count in counts:
        x = _x(left, count, counts)
        yield _text(x, TOP + PANEL_HEIGHT + 18, str(count), anchor="middle")
    for precision, colour in COLOURS.items():
        ends = []
        for rule, dash in DASHES.items():
            points = sorted(
                (line["lanes"], line["ratio"])
                for line in lines
                if (line["precision"], line["rule"]) == (precision, rule)
            )
            if not points:
                continue
            ends.append(points[-1][1])
            path = " ".join(f"{_x(left, n, counts):.1f},{_y(ratio):.1f}" for n, ratio in points)
            yield (
                f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2" '
                f'stroke-dasharray="{dash}"/>'
            )
            for n, ratio in points:
                x, y = _x(left, n, counts), _y(ratio)
                yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'
        if ends:
            y = _y(max(ends)) - 10
            yield _text(left + PANEL_WIDTH, y, precision, anchor="end", colour=colour)


def _x(left: int, lanes: int, counts: list[int]) -> float:
    span = math.log2(counts[-1] / counts[0]) or 1.0
    return left + 12 + (PANEL_WIDTH - 24) * math.log2(lanes / counts[0]) / span


def _y(ratio: float) -> float:
    return TOP + PANEL_HEIGHT * (1 - ratio / HIGHEST)


def _text(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "start",
    weight: str = "normal",
    colour: str = TEXT,
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" '
        f'fill="{colour}">{text}</text>'
    )


if __name__ == "__main__":
    main()
