"""Whether the examples themselves can be trained on: numbers, classes, features, duplicates."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hpsearch.datasets.splits import Part, Splits
from hpsearch.spec.findings import Finding, Severity
from hpsearch.spec.sections import Task

MAX_NAMED = 5  # features or classes a message names one by one
IMBALANCE = 20.0  # examples of the largest class for one of the smallest
FEW_A_CLASS = 10  # training examples; fewer say nothing of their class
MIN_VALIDATION = 30  # examples; with fewer, one of them moves the accuracy by over 3 points
MAX_CONSTANT_PIXELS = 0.5  # of an image: margins are usual, an empty image is not
MAX_LEAKED = 0.01  # of the validation or test examples
MIN_REGRESSION = 3  # examples; two lie on a line whatever they are
_BLOCK_BYTES = 1 << 25  # looked at in pieces that fit the cache and need no large copies

Named = tuple[tuple[str, Part], ...]


def check_data(splits: Splits) -> Iterator[Finding]:
    """Yield what is to be said about the examples, failures first."""
    parts: Named = (
        ("training", splits.train),
        ("validation", splits.validation),
        ("test", splits.test),
    )
    yield _finite(splits, parts)
    yield _sizes(splits)
    yield _targets(splits)
    yield _features(splits)
    yield _duplicates(parts)


def _finite(splits: Splits, parts: Named) -> Finding:
    for name, part in parts:
        if not np.isfinite(part.y).all():
            n_bad = int((~np.isfinite(part.y.reshape(len(part), -1))).any(1).sum())
            message = (
                f"{n_bad:,} {name} targets are NaN or infinite: remove these examples, or repair "
                "their targets"
            )
            return Finding("finite", Severity.FAILURE, message, float(n_bad), "0 examples")
    bad: set[int] = set()
    where = []
    for name, part in parts:
        columns = _bad_columns(part.x)
        if columns:
            where.append(name)
            bad.update(columns)
    if not bad:
        return Finding("finite", Severity.OK, "every input and target is a finite number")
    message = (
        f"{_listed('input feature', sorted(bad))} of {splits.n_inputs:,} (counted from 0) "
        f"{'has' if len(bad) == 1 else 'have'} NaN or infinite values in the "
        f"{_and(where)} examples: remove the rows or columns, or fill the values in"
    )
    return Finding("finite", Severity.FAILURE, message, float(len(bad)), "0 features")


def _bad_columns(x: NDArray[np.generic]) -> list[int]:
    if x.dtype == np.uint8:
        return []
    bad = np.zeros(x.shape[1], bool)
    for block in _blocks(x):
        with np.errstate(invalid="ignore"):
            total = block.sum(dtype=np.float64)  # one pass; a sum hides nothing non-finite
        if not np.isfinite(total):
            bad |= ~np.isfinite(block).all(0)
    return [int(column) for column in np.flatnonzero(bad)]


def _targets(splits: Splits) -> Finding:
    if splits.task is Task.CLASSIFICATION:
        return _classes(splits)
    variance = splits.train.y.var(0)
    constant = [int(column) for column in np.flatnonzero(~(variance > 0))]
    if constant:
        message = (
            f"{_listed('target column', constant)} (counted from 0) is the same in every training "
            "example: there is nothing to learn; choose another target"
        )
        return Finding("targets", Severity.FAILURE, message, 0.0, "a variance above 0")
    return Finding("targets", Severity.OK, "the targets vary", float(variance.min()), "above 0")


def _classes(splits: Splits) -> Finding:
    counts = np.bincount(splits.train.y, minlength=splits.n_outputs)
    present = np.flatnonzero(counts)
    largest = int(counts.argmax())
    share = float(counts[largest] / counts.sum())
    if len(present) < 2:
        message = (
            f"every training example is of class {largest}: a classifier needs two classes; check "
            "the labels, or dataset.train_fraction"
        )
        return Finding("classes", Severity.FAILURE, message, float(len(present)), "2 or more")
    elsewhere = np.union1d(splits.validation.y, splits.test.y)
    missing = [int(label) for label in np.setdiff1d(elsewhere, present)]
    if missing:
        message = (
            f"{_listed('class', missing)} {'has' if len(missing) == 1 else 'have'} validation or "
            "test examples but none to train on: raise dataset.train_fraction, or add examples"
        )
        return Finding("classes", Severity.WARNING, message, float(len(missing)), "0 classes")
    smallest = int(present[counts[present].argmin()])
    ratio = float(counts[largest] / counts[smallest])
    few = [int(label) for label in present if counts[label] < FEW_A_CLASS]
    if ratio > IMBALANCE:
        message = (
            f"class {largest} has {ratio:,.0f} times the examples of class {smallest} "
            f"({counts[largest]:,} and {counts[smallest]:,}): always guessing it is right in "
            f"{share:.0%} of cases, so judge by val_loss (objectives: [{{metric: val_loss}}]), or "
            "balance the data"
        )
        return Finding("classes", Severity.WARNING, message, ratio, f"at most {IMBALANCE:g} times")
    if few:
        message = (
            f"{_listed('class', few)} {'has' if len(few) == 1 else 'have'} fewer than "
            f"{FEW_A_CLASS} training examples: add some, or raise dataset.train_fraction"
        )
        least = float(counts[smallest])
        return Finding(
            "classes", Severity.WARNING, message, least, f"at least {FEW_A_CLASS} examples"
        )
    message = f"{len(present)} classes, the largest has {share:.0%} of the training examples"
    return Finding("classes", Severity.OK, message, ratio, f"at most {IMBALANCE:g} times")


def _sizes(splits: Splits) -> Finding:
    n_train, n_validation = len(splits.train), len(splits.validation)
    is_classes = splits.task is Task.CLASSIFICATION
    needed = splits.n_outputs if is_classes else MIN_REGRESSION
    if n_train < needed:
        are = "one training example is" if n_train == 1 else f"{n_train} training examples are"
        message = (
            f"{are} too few for "
            f"{f'{needed} classes' if is_classes else 'a regression'}: add data, raise "
            "dataset.train_fraction, or lower the other fractions"
        )
        return Finding("sizes", Severity.FAILURE, message, float(n_train), f"at least {needed}")
    expected = f"at least {MIN_VALIDATION} to validate on"
    if n_validation < MIN_VALIDATION:
        decide = (
            "one validation example decides between trials"
            if n_validation == 1
            else f"{n_validation} validation examples decide between trials, and each of them "
            f"moves the result by {1 / n_validation:.0%}"
        )
        message = f"{decide}: raise dataset.validation_fraction"
        return Finding("sizes", Severity.WARNING, message, float(n_validation), expected)
    message = (
        f"{n_train:,} examples to train on, {n_validation:,} to validate on, "
        f"{len(splits.test):,} to test on"
    )
    return Finding("sizes", Severity.OK, message, float(n_validation), expected)


def _features(splits: Splits) -> Finding:
    x = splits.train.x
    low = np.full(x.shape[1], np.inf)
    high = np.full(x.shape[1], -np.inf)
    for block in _blocks(x):
        np.minimum(low, block.min(0), out=low)
        np.maximum(high, block.max(0), out=high)
    constant = [int(column) for column in np.flatnonzero(high <= low)]
    share = len(constant) / x.shape[1]
    is_image = len(splits.input_shape) > 1
    limit = MAX_CONSTANT_PIXELS if is_image else 0.0
    expected = f"at most {limit:.0%}" + (" of an image" if is_image else "")
    if len(constant) == x.shape[1]:
        message = (
            "every input feature has the same value in all training examples: there is nothing "
            "to learn from; check how the inputs are read"
        )
        return Finding("features", Severity.FAILURE, message, share, expected)
    if share > limit:
        message = (
            f"{_listed('input feature', constant)} of {x.shape[1]:,} (counted from 0) "
            f"{'has' if len(constant) == 1 else 'have'} the same value in all training examples: "
            "leave them out of the data, they only cost time"
        )
        return Finding("features", Severity.WARNING, message, share, expected)
    n_varying = x.shape[1] - len(constant)
    message = f"{n_varying:,} of {x.shape[1]:,} input features vary"
    return Finding("features", Severity.OK, message, share, expected)


def _duplicates(parts: Named) -> Finding:
    """Compare the inputs of the splits: an example in two of them flatters the result."""
    hashes = {name: _row_hashes(part.x) for name, part in parts}
    rows = {name: part.x for name, part in parts}
    worst, told = 0.0, []
    for name, source in (("validation", "training"), ("test", "training"), ("test", "validation")):
        n_found = _n_shared(hashes[name], rows[name], hashes[source], rows[source])
        share = n_found / len(rows[name])
        worst = max(worst, share)
        if n_found:
            of = "one" if n_found == 1 else f"{n_found:,}"
            told.append(
                f"{of} of {len(rows[name]):,} {name} examples ({share:.1%}) also "
                f"{'is a' if n_found == 1 else 'are'} {source} "
                f"example{'' if n_found == 1 else 's'}"
            )
    expected = f"at most {MAX_LEAKED:.0%} of a split"
    if worst > MAX_LEAKED:
        message = (
            f"{'; '.join(told)}: results will look better than they are; remove duplicate rows "
            "before they are split"
        )
        return Finding("duplicates", Severity.WARNING, message, worst, expected)
    message = "; ".join(told) or "no example is in two splits"
    return Finding("duplicates", Severity.OK, message, worst, expected)


def _row_hashes(x: NDArray[np.generic]) -> NDArray[np.uint64]:
    """Return a 64-bit number a row; equal rows have equal numbers, others hardly ever."""
    multipliers = np.random.default_rng(0).integers(
        1, 2**64 - 1, x.shape[1] * x.dtype.itemsize // 8 + 1, dtype=np.uint64
    )
    found = np.empty(len(x), np.uint64)
    at = 0
    for block in _blocks(x):
        words = _words(block)
        found[at : at + len(block)] = words @ (multipliers[: words.shape[1]] | np.uint64(1))
        at += len(block)
    return found


def _words(block: NDArray[np.generic]) -> NDArray[np.uint64]:
    """Return the bytes of each row as 64-bit words; minus zero counts as zero."""
    if block.dtype != np.uint8:
        block = block + np.zeros(1, block.dtype)
    raw = np.ascontiguousarray(block).view(np.uint8).reshape(len(block), -1)
    n_missing = -raw.shape[1] % 8
    if n_missing:
        raw = np.pad(raw, ((0, 0), (0, n_missing)))
    return raw.view(np.uint64)


def _n_shared(
    hashes: NDArray[np.uint64],
    rows: NDArray[np.generic],
    other_hashes: NDArray[np.uint64],
    other_rows: NDArray[np.generic],
) -> int:
    """Return how many rows are also among the others, compared value by value."""
    order = np.argsort(other_hashes, kind="stable")
    at = np.searchsorted(other_hashes[order], hashes)
    at = np.minimum(at, len(order) - 1)
    candidates = np.flatnonzero(other_hashes[order][at] == hashes)
    return sum(bool(np.array_equal(rows[row], other_rows[order[at[row]]])) for row in candidates)


def _blocks(x: NDArray[np.generic]) -> Iterator[NDArray[np.generic]]:
    n_rows = max(1, _BLOCK_BYTES // max(1, x.shape[1] * x.dtype.itemsize))
    for begin in range(0, len(x), n_rows):
        yield x[begin : begin + n_rows]


def _listed(noun: str, numbers: list[int]) -> str:
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    if len(numbers) == 1:
        return f"{noun} {numbers[0]}"
    shown = ", ".join(map(str, numbers[:MAX_NAMED]))
    if len(numbers) <= MAX_NAMED:
        return f"{plural} {shown}"
    return f"{len(numbers):,} {plural} ({shown} ...)"


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
