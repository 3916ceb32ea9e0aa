"""Which plugins a definition may name; handed to the grammar from above."""

from collections.abc import Mapping
from dataclasses import dataclass

from hpsearch.spec.fields import Settings
from hpsearch.spec.sections import DatasetInfo


@dataclass(frozen=True, slots=True)
class Catalog:
    """Plugin classes by name, and the data sets there are.

    Attributes:
        families: Model families (``mlp``).
        optimizers: Update rules (``sgd``).
        samplers: Samplers (``random``).
        pruners: Pruners (``none``).
        datasets: Data sets by name.
    """

    families: Mapping[str, type[Settings]]
    optimizers: Mapping[str, type[Settings]]
    samplers: Mapping[str, type[Settings]]
    pruners: Mapping[str, type[Settings]]
    datasets: Mapping[str, DatasetInfo]
