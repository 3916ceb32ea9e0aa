"""Which plugins a definition may name; handed to the grammar from above."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

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

    def with_datasets(self, more: Iterable[DatasetInfo]) -> "Catalog":
        """Return a catalog that knows these data sets too."""
        return replace(self, datasets={**self.datasets, **{info.name: info for info in more}})
