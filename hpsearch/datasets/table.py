"""A CSV file as arrays: read twice, line by line, never whole."""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.datasets.complaints import Complaints, refuse
from hpsearch.datasets.labels import (
    MAX_CLASSES,
    MAX_LABEL_CHARS,
    numbered,
    plain_number,
    rare_classes,
    task_of_numbers,
)
from hpsearch.datasets.stored import Understood, create_array
from hpsearch.spec.sections import Task
from hpsearch.spec.wording import nearest

MAX_CATEGORIES = 1000
MAX_FEATURES = 20_000
MAX_LINE_BYTES = 16 * 1024**2
MIN_ROWS = 3
_BLOCK_ROWS = 1024
_BLOCK_CHARS = 4 * 1024**2
_LONGEST_NUMBER = 40  # characters; anything longer is read one by one
_NUMBER = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*", re.ASCII)
_NUMBER_CHARS = frozenset("0123456789+-.eE \t")

Row = tuple[int, list[str]]
"""A line's number, from 1, and its cells."""


@dataclass(slots=True)
class _Column:
    """What is known of a column after the first reading.

    Texts are remembered (those of a column that turns out to be numbers are none), so what is
    kept in memory does not grow with the file.
    """

    name: str
    n_numbers: int = 0
    n_texts: int = 0
    first_text: tuple[int, str] = (0, "")
    texts: set[str] = field(default_factory=set)
    has_too_many: bool = False
    has_endless: bool = False
    only_cell: str | None = None
    is_constant: bool = True

    @property
    def is_number(self) -> bool:
        return self.n_texts == 0

    def are_numbers(self, cells: Sequence[str]) -> bool:
        """Take in a block of cells at once if all are ordinary numbers: most columns are."""
        values = _as_numbers(cells)
        if values is None:
            return False
        if self.is_constant:
            self.is_constant = self.only_cell in {None, cells[0]} and cells.count(cells[0]) == len(
                cells
            )
            self.only_cell = cells[0]
        self.n_numbers += len(cells)
        return True

    def look(self, cell: str, line: int) -> None:
        if self.is_constant:
            self.is_constant = self.only_cell in {None, cell}
            self.only_cell = cell[:MAX_LABEL_CHARS]
        if _NUMBER.fullmatch(cell):
            self.n_numbers += 1
            return
        if not self.n_texts:
            self.first_text = (line, cell[:MAX_LABEL_CHARS])
        self.n_texts += 1
        if len(cell) > MAX_LABEL_CHARS:
            self.has_endless = True
        elif not self.has_too_many:
            self.texts.add(cell.strip())
            if len(self.texts) > MAX_CATEGORIES:
                self.has_too_many = True
                self.texts.clear()


def read_table(
    path: Path, folder: Path, *, target: str | None, task: Task | None, max_bytes: int
) -> Understood:
    """Write the arrays of a CSV file into ``folder`` and return what they are.

    Args:
        path: UTF-8, commas, a header line.
        folder: Where the arrays go.
        target: The column to predict; the last one if None.
        task: What it is; inferred from the target if None.
        max_bytes: Largest array.

    Raises:
        RequestInvalid: Everything that is wrong, by column and line.
        OSError: The folder cannot be written.
    """
    columns, n_rows = _first_reading(path)
    index = _target(columns, target)
    goal = columns[index]
    _check_texts(columns)
    features = [_Feature(i, column) for i, column in enumerate(columns) if i != index]
    width = sum(feature.width for feature in features)
    if width > MAX_FEATURES:
        refuse("file", f"makes {width:,} features with all categories, at most {MAX_FEATURES:,}")
    if n_rows * (width + 1) * 8 > max_bytes:
        refuse(
            "file",
            f"takes {n_rows * (width + 1) * 8:,} bytes as an array of {n_rows:,} x {width:,} "
            f"numbers, at most {max_bytes:,}",
        )
    x = create_array(folder, "x_train", np.float64, (n_rows, width))
    texts = _second_reading(path, features, index, goal, x)
    y, known = _targets(goal, texts, task)
    create_array(folder, "y_train", y.dtype, y.shape)[:] = y
    return Understood(
        task=known.task,
        input_shape=(width,),
        n_outputs=known.n_outputs,
        n_examples=n_rows,
        outputs=known.outputs,
        columns=[
            *(feature.description() for feature in features),
            {"name": goal.name, "kind": "target"},
        ],
        warnings=[*_constant(columns, goal), *known.warnings],
    )


# --- reading -----------------------------------------------------------------------------------


def _rows(path: Path) -> Iterator[Row]:
    """Yield the records of a file, each with the line it starts at; empty lines are left out."""
    with path.open("rb") as file:
        reader = csv.reader(_lines(file), strict=True)
        start = 1
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                refuse("file", f"is no CSV: {error}", line=reader.line_num)
            if cells:
                yield start, cells
            start = reader.line_num + 1


def _lines(file: Any) -> Iterator[str]:
    number = 0
    while raw := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(raw) > MAX_LINE_BYTES:
            refuse("file", f"has a line of more than {MAX_LINE_BYTES:,} bytes", line=number)
        if b"\x00" in raw:
            refuse("file", "holds a NUL byte: this is no text file", line=number)
        try:
            yield raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            refuse("file", f"must be UTF-8: byte {error.start + 1} is not", line=number)


def _first_reading(path: Path) -> tuple[list[_Column], int]:
    rows, complaints = _rows(path), Complaints()
    columns = _header(next(rows, None))
    n_rows = 0
    for block in _blocks(rows):
        n_rows += len(block)
        whole = [row for row in block if len(row[1]) == len(columns)]
        wrong = [
            ("file", f"has {len(cells)} cells, the header has {len(columns)}", line)
            for line, cells in block
            if len(cells) != len(columns)
        ]
        for column, cells in zip(
            columns if whole else (), zip(*(row[1] for row in whole), strict=True), strict=True
        ):
            if column.are_numbers(cells):
                continue
            for (line, _), cell in zip(whole, cells, strict=True):
                if not cell or cell.isspace():
                    message = "is empty: fill it in or leave the row out"
                    wrong.append((column.name, message, line))
                else:
                    column.look(cell, line)
        for name, message, line in sorted(wrong, key=itemgetter(2)):
            complaints.add(name, message, line=line)
        if sum(len(column.texts) for column in columns) > MAX_FEATURES + MAX_CLASSES:
            refuse("file", f"has more than {MAX_FEATURES:,} different texts", line=block[-1][0])
    complaints.raise_if_any()
    if n_rows < MIN_ROWS:
        refuse("file", f"has {n_rows} rows below its header, at least {MIN_ROWS} are needed")
    return columns, n_rows


def _blocks(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """Yield rows in blocks that fit into memory, however long the rows are."""
    block: list[Row] = []
    n_chars = 0
    for row in rows:
        block.append(row)
        n_chars += sum(map(len, row[1])) + len(row[1])
        if len(block) == _BLOCK_ROWS or n_chars > _BLOCK_CHARS:
            yield block
            block, n_chars = [], 0
    if block:
        yield block


def _as_numbers(cells: Sequence[str]) -> NDArray[np.float64] | None:
    """Return the cells as finite numbers; None if one of them deserves a closer look."""
    if max(map(len, cells)) > _LONGEST_NUMBER or not _NUMBER_CHARS.issuperset("".join(cells)):
        return None  # numpy would take 1_000 and other alphabets' digits for numbers
    try:
        values = np.array(cells).astype(np.float64)
    except ValueError:
        return None
    return values if np.isfinite(values).all() else None


def _header(row: Row | None) -> list[_Column]:
    if row is None:
        refuse("file", "is empty: expected a header and at least three rows")
    names = [name.strip() for name in row[1]]
    if len(names) < 2:
        other = next((mark for mark in ";\t|" if mark in names[0]), None)
        hint = f"; it seems to be separated by {other!r}" if other else ""
        refuse("file", f"must have at least two columns, separated by commas{hint}", line=row[0])
    if len(names) > MAX_FEATURES:
        refuse("file", f"has {len(names):,} columns, at most {MAX_FEATURES:,}", line=row[0])
    if all(_NUMBER.fullmatch(name) for name in names):
        refuse("file", "must start with a header: the first line has numbers only", line=row[0])
    complaints = Complaints()
    for name, count in Counter(names).items():
        if not name or len(name) > MAX_LABEL_CHARS:
            complaints.add("file", "has a column with an empty or endless name", name[:50], row[0])
        elif count > 1:
            complaints.add(name, f"is the name of {count} columns", line=row[0])
    complaints.raise_if_any()
    return [_Column(name) for name in names]


def _target(columns: list[_Column], target: str | None) -> int:
    names = [column.name for column in columns]
    if target is None:
        return len(columns) - 1
    if target not in names:
        meant = nearest(target, names)
        hint = f"did you mean {meant!r}?" if meant else f"there is {', '.join(names[:10])}"
        refuse("target", f"names no column of this file: {hint}", target)
    return names.index(target)


def _check_texts(columns: list[_Column]) -> None:
    complaints = Complaints()
    for column in columns:
        if column.n_texts and column.n_numbers:
            line, cell = column.first_text
            message = f"is text here and a number in {column.n_numbers:,} other rows"
            complaints.add(column.name, message, cell, line)
        elif column.has_too_many:
            message = (
                f"is text with more than {MAX_CATEGORIES:,} different values: leave it out, it "
                "tells rows apart and nothing else"
            )
            complaints.add(column.name, message)
        elif column.has_endless:
            complaints.add(column.name, f"has text of more than {MAX_LABEL_CHARS} characters")
    complaints.raise_if_any()


# --- values ------------------------------------------------------------------------------------


class _Feature:
    """One column as one or several numbers: itself, or one for each category."""

    def __init__(self, index: int, column: _Column) -> None:
        self.index, self.name = index, column.name
        self.places: dict[str, int] | None = None
        if not column.is_number:
            self.places = {label: place for place, label in enumerate(sorted(column.texts))}

    @property
    def width(self) -> int:
        return 1 if self.places is None else len(self.places)

    def description(self) -> dict[str, Any]:
        if self.places is None:
            return {"name": self.name, "kind": "number"}
        return {"name": self.name, "kind": "category", "values": list(self.places)}


def _second_reading(
    path: Path, features: list[_Feature], index: int, goal: _Column, x: NDArray[Any]
) -> list[str] | NDArray[np.float64]:
    """Fill ``x`` and return the targets: numbers, or stripped text."""
    complaints = Complaints()
    numbers = np.empty(len(x))
    texts: list[str] = []
    rows = _rows(path)
    next(rows)
    begin = 0
    for block in _blocks(rows):
        columns = list(zip(*(cells for _, cells in block), strict=True))
        made = np.zeros((len(block), x.shape[1]))
        place = 0
        for feature in features:
            cells = columns[feature.index]
            if feature.places is None:
                made[:, place] = _numbers(cells, feature.name, block, complaints)
            else:
                places = [place + feature.places[cell.strip()] for cell in cells]
                made[np.arange(len(block)), places] = 1.0
            place += feature.width
        end = begin + len(block)
        x[begin:end] = made
        if goal.is_number:
            numbers[begin:end] = _numbers(columns[index], goal.name, block, complaints)
        else:
            texts += [cell.strip() for cell in columns[index]]
        begin = end
    complaints.raise_if_any()
    return numbers if goal.is_number else texts


def _numbers(
    cells: Sequence[str], name: str, block: list[Row], complaints: Complaints
) -> NDArray[np.float64]:
    values = _as_numbers(cells)
    if values is None:
        values = np.array([float(cell) for cell in cells])
        for place in np.flatnonzero(~np.isfinite(values)).tolist():
            line, shown = block[place][0], cells[place][:MAX_LABEL_CHARS]
            complaints.add(name, "is too large for a number", shown, line)
    return values


@dataclass(frozen=True, slots=True)
class _Known:
    task: Task
    n_outputs: int
    outputs: tuple[str, ...]
    warnings: list[str]


def _targets(
    goal: _Column, values: list[str] | NDArray[np.float64], task: Task | None
) -> tuple[NDArray[Any], _Known]:
    if isinstance(values, list):
        if task is Task.REGRESSION:
            line, cell = goal.first_text
            refuse(goal.name, "must be a number for a regression", cell, line)
        labels = values
    elif (task or task_of_numbers(values)) is Task.REGRESSION:
        if values.min() == values.max():
            refuse(goal.name, f"is {values[0]:g} in every row: there is nothing to learn")
        return values.reshape(-1, 1), _Known(Task.REGRESSION, 1, (goal.name,), [])
    else:
        if len(np.unique(values)) > MAX_CLASSES:
            numbered([str(i) for i in range(len(np.unique(values)))], goal.name)
        labels = [plain_number(value) for value in values.tolist()]
    counts = Counter(labels)
    classes = numbered(list(counts), goal.name)
    y = np.fromiter((classes[label] for label in labels), np.int64, len(labels))
    known = _Known(Task.CLASSIFICATION, len(classes), tuple(classes), rare_classes(counts))
    return y, known


def _constant(columns: list[_Column], goal: _Column) -> list[str]:
    return [
        f"column {column.name!r} is {column.only_cell} in every row"
        for column in columns
        if column is not goal and column.is_constant
    ]
