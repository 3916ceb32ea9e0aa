"""A network over lanes: what the training engine asks of every model family."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence

from torch import Tensor

from hpsearch.layers.affine import RuleStep
from hpsearch.layers.stack import Shapes


class Network(ABC):
    """The forward and backward program of a pack; the parameters live outside, in stacks.

    Attributes:
        shapes: Values of the widest lane by their plain ``torch.nn`` names: trained parameters
            first, then those that are only kept (running statistics).
        is_weight: Which of the trained parameters ``l1`` and ``l2`` apply to; one entry each.
        n_draws: Layers that draw random numbers in training; each gets a key of its own.
        flat_ends: The values between which hidden units put out theirs, if they flatten towards
            both: -1 and 1 of tanh. None: they do not.
        takes_steps: Whether there is :meth:`descend`.
    """

    shapes: Shapes
    is_weight: tuple[bool, ...]
    n_draws: int = 0
    flat_ends: tuple[float, float] | None = None
    takes_steps: bool = False

    @abstractmethod
    def forward(
        self, parameters: Sequence[Tensor], x: Tensor, keys: Tensor | None = None
    ) -> Tensor:
        """Return the outputs ``[lanes, outputs, batch]`` and keep what backward needs.

        Args:
            parameters: ``[lanes, ...]`` each, in the order of ``shapes``; running statistics
                are brought up to date in training.
            x: ``[batch, features]`` for all lanes, or ``[lanes, features, batch]``.
            keys: Of this step's random numbers, ``[lanes, n_draws, 2]``, int32: training. None:
                evaluation, without dropout and with running statistics; no backward follows.
        """

    @abstractmethod
    def backward(
        self, parameters: Sequence[Tensor], gradients: Sequence[Tensor], d: Tensor
    ) -> list[Tensor]:
        """Return the gradients of the trained parameters, given that of the last outputs, ``d``.

        They stand in ``gradients``, which is overwritten, or in memory of their own.
        """

    def descend(
        self, parameters: Sequence[Tensor], gradients: Sequence[Tensor], d: Tensor, step: RuleStep
    ) -> list[Tensor | None]:
        """Change parameters as soon as their gradients are known; return the gradients of others.

        Args:
            parameters: As in :meth:`forward`; those that are changed have None for a gradient.
            gradients: Room for one gradient each.
            d: Gradient of the last outputs.
            step: How they change.
        """
        raise NotImplementedError

    def hidden(self) -> Sequence[Tensor]:
        """Return what the hidden units put out in the last forward pass, an evaluation.

        ``[lanes, units, columns]`` for each layer: a column for each example, or so many that
        the extremes of a unit are among them. Nothing if the network does not show them.
        """
        return ()

    def n_hidden(self, shapes: Shapes) -> int:  # noqa: ARG002 - for networks that show them
        """Return how many of the units in :meth:`hidden` a lane of these shapes has."""
        return 0

    def variant(self, n_lanes: int) -> Hashable:  # noqa: ARG002 - for networks that have some
        """Return what a training step of the first lanes is made of, shapes apart.

        Where it is the same, so are the operations, and so is the memory they read.
        """
        return None

    def has_kernels(self) -> bool:
        """Return whether a step, by :meth:`descend`, is nothing but kernels of our own.

        They can be noted on a :class:`hpsearch.native.tape.Tape` and played again.
        """
        return False

    def forget(self) -> None:  # noqa: B027 - for networks that keep some
        """Let go of all memory kept from step to step, but for rates and masks."""

    @abstractmethod
    def resize(self, n_rows: int) -> None:
        """Make room for ``n_rows`` lanes; those there stay."""

    @abstractmethod
    def fit(self, lane: int, shapes: Shapes, dropout: Sequence[float] = ()) -> None:
        """Note the true shapes of the lane in row ``lane``, for masks, and its dropout rates."""

    @abstractmethod
    def move(self, source: int, target: int) -> None:
        """Note that the lane of row ``source`` now stands in row ``target``."""
