"""A table as people have them: scikit-learn's diabetes patients, part of its package."""

import csv
from pathlib import Path

from sklearn.datasets import load_diabetes


def write_diabetes(path: Path, target: str = "price") -> Path:
    """Write 442 rows of ten numbers, one text column and a target; return the path."""
    data = load_diabetes(scaled=False)
    names = [*data.feature_names, "region", target]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for x, y in zip(data.data.tolist(), data.target.tolist(), strict=True):
            writer.writerow([*x, "north" if x[1] > 1.5 else "south", y])
    return path
