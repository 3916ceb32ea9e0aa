"""What a network costs, to leave out what would take a preflight's whole time."""

from hpsearch.datasets.splits import Splits
from hpsearch.models.base import Model

MAX_WORK = 2e10  # multiplications of one piece of work: about a second of one core


def work_of(model: Model, splits: Splits) -> int:
    """Return the multiplications of one answer to one example.

    A network of sequences uses its weights at every step.
    """
    n_steps = getattr(model, "steps", None) or 1
    return int(n_steps) * model.n_parameters(splits.n_inputs, splits.n_outputs)
