"""Sequences as the columns of a matrix, step after step, and as torch's own modules see them."""

from torch import Tensor, nn

from hpsearch.errors import ShapeError


def steps_first(x: Tensor, n_steps: int) -> Tensor:
    """Return examples cut into steps, a column for each (step, example), step after step.

    Args:
        x: ``[batch, steps · features]`` for all lanes, or ``[lanes, steps · features, batch]``.
        n_steps: Steps of every example.

    Returns:
        ``[steps · batch, features]``, or ``[lanes, features, steps · batch]``.

    Raises:
        ShapeError: The steps do not divide the input.
    """
    if x.shape[1] % n_steps:
        raise ShapeError(f"{x.shape[1]} inputs cannot be cut into {n_steps} steps")
    if x.dim() == 2:
        batch, n_inputs = x.shape
        return x.view(batch, n_steps, -1).transpose(0, 1).reshape(-1, n_inputs // n_steps)
    n_lanes, n_inputs, batch = x.shape
    cut = x.transpose(1, 2).reshape(n_lanes, batch, n_steps, -1).transpose(1, 2)
    # features stand together in memory, as in a shared batch: sums round by where they stand
    return cut.reshape(n_lanes, n_steps * batch, n_inputs // n_steps).transpose(1, 2)


class SequenceClassifier(nn.Module):
    """A recurrent network whose last output is classified (or is regressed on).

    Args:
        rnn: ``nn.RNN``, ``nn.GRU`` or ``nn.LSTM``, steps first.
        n_steps: Steps an input is cut into.
        n_outputs: Classes or target columns.
    """

    def __init__(self, rnn: nn.RNNBase, n_steps: int, n_outputs: int) -> None:
        super().__init__()
        self.rnn = rnn
        self.output = nn.Linear(rnn.hidden_size, n_outputs)
        self._n_steps = n_steps

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[batch, outputs]`` of inputs ``[batch, steps · features]``."""
        sequence = x.reshape(x.shape[0], self._n_steps, -1).transpose(0, 1)
        outputs, _ = self.rnn(sequence)
        return self.output(outputs[-1])  # type: ignore[no-any-return] # modules are untyped
