"""Draw what bench_search measured: median best accuracy against trained epochs, as SVG.

.venv/bin/python -m benchmarks.search_picture benchmarks/results/search.mnist.curves.json
"""

import argparse
import json
import statistics
from itertools import pairwise
from pathlib import Path

COLORS = {  # Okabe and Ito: told apart by everybody
    "random": "#555555",
    "tpe": "#0072B2",
    "random+hyperband": "#E69F00",
    "tpe+median": "#009E73",
    "random+halving": "#CC79A7",
    "tpe+halving": "#D55E00",
}
WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 740, 400, 64, 44, 170, 48
SYSTEMS = {"ours": "", "optuna": ' stroke-dasharray="5 4" opacity="0.8"'}


def curve_of(rises: list[tuple[int, float]]) -> list[float]:
    """Return the best value after each epoch."""
    curve: list[float] = []
    for (epoch, value), (until, _) in pairwise([*rises, (rises[-1][0] + 1, 0.0)]):
        curve += [value] * (until - epoch)
    return curve


def median_curve(runs: list[list[float]], budget: int) -> list[float]:
    """Return the median over the seeds after each epoch; a run that ended keeps its best."""
    return [
        statistics.median(run[min(epoch, len(run) - 1)] for run in runs) for epoch in range(budget)
    ]


def draw(curves: dict[str, list[list[float]]], title: str) -> str:
    """Return the picture."""
    budget = min(len(run) for run in curves["random ours"])
    medians = {key: median_curve(runs, budget) for key, runs in curves.items()}
    high = max(curve[-1] for curve in medians.values())
    low = min(curve[budget // 20] for curve in medians.values())
    low, high = int(low * 50) / 50, high + (high - low) * 0.05

    def place(epoch: int, value: float) -> str:
        x = LEFT + (WIDTH - LEFT - RIGHT) * epoch / budget
        y = TOP + (HEIGHT - TOP - BOTTOM) * (1 - (max(value, low) - low) / (high - low))
        return f"{x:.1f},{y:.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="24" font-size="15" fill="#222222">{title}</text>',
    ]
    for i in range(5):
        value = low + (high - low) * i / 4
        x, y = place(0, value).split(",")
        parts.append(f'<path d="M{x},{y}H{WIDTH - RIGHT}" stroke="#dddddd"/>')
        parts.append(
            f'<text x="{LEFT - 8}" y="{float(y) + 4}" text-anchor="end">{value:.3f}</text>'
        )
        x, y = place(budget * i // 4, low).split(",")
        parts.append(
            f'<text x="{x}" y="{float(y) + 20}" text-anchor="middle">{budget * i // 4}</text>'
        )
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">'
        "epochs trained, all trials</text>"
    )
    for i, (name, color) in enumerate(COLORS.items()):
        for system, style in SYSTEMS.items():
            points = " ".join(
                place(epoch + 1, value) for epoch, value in enumerate(medians[f"{name} {system}"])
            )
            pen = f'fill="none" stroke="{color}" stroke-width="2"{style}'
            parts.append(f'<polyline points="{points}" {pen}/>')
        y = TOP + 14 + 22 * i
        x = WIDTH - RIGHT + 12
        parts.append(f'<path d="M{x},{y - 4}h20" stroke="{color}" stroke-width="2"/>')
        parts.append(f'<text x="{x + 26}" y="{y}">{name}</text>')
    parts.append(f'<text x="{WIDTH - RIGHT + 12}" y="{TOP + 160}">solid: hpsearch</text>')
    parts.append(f'<text x="{WIDTH - RIGHT + 12}" y="{TOP + 180}">dashed: Optuna</text>')
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("curves", type=Path)
    parser.add_argument("--title", default="Best validation accuracy, median over the seeds")
    parser.add_argument("--out", type=Path, default=Path("docs/search.svg"))
    args = parser.parse_args()
    stored = json.loads(args.curves.read_text())
    curves = {key: [curve_of(run) for run in runs] for key, runs in stored.items()}
    args.out.write_text(draw(curves, args.title))


if __name__ == "__main__":
    main()
