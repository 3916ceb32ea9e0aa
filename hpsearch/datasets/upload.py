"""Uploads by their media type."""

from collections.abc import Callable, Mapping

from hpsearch.datasets.archive import read_archive
from hpsearch.datasets.stored import Understood
from hpsearch.datasets.table import read_table

CSV = "text/csv"
NPZ = "application/x-npz"

READERS: Mapping[str, Callable[..., Understood]] = {CSV: read_table, NPZ: read_archive}
"""``read(path, folder, target=, task=, max_bytes=)`` for each type that may be uploaded."""
