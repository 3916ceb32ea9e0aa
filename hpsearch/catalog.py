"""The plugins installed in this process, as the grammar wants them."""

from functools import cache

from hpsearch.datasets.base import REGISTRY as DATASETS
from hpsearch.models.base import REGISTRY as MODELS
from hpsearch.optimizers.base import REGISTRY as OPTIMIZERS
from hpsearch.pruning.base import REGISTRY as PRUNERS
from hpsearch.sampling.base import REGISTRY as SAMPLERS
from hpsearch.spec.catalog import Catalog


@cache
def installed_catalog() -> Catalog:
    """Return every plugin of every room; torch is not loaded."""
    return Catalog(
        families=MODELS,
        optimizers=OPTIMIZERS,
        samplers=SAMPLERS,
        pruners=PRUNERS,
        datasets={name: DATASETS[name]().info() for name in DATASETS},
    )
