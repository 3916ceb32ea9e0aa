"""Batch normalisation over lanes: every unit of every lane is a channel of its own."""

import torch
from jaxtyping import Float
from torch import Tensor

EPS = 1e-5  # torch's and the contract's
MOMENTUM = 0.1  # share of the newest batch in the running statistics


class BatchNorm:
    """One layer of ``nn.BatchNorm1d`` per lane, in one kernel of torch's own.

    Units a lane does not have stand there with weight and bias zero, so they stay zero.
    """

    def __init__(self) -> None:
        self._saved: tuple[Tensor, ...] = ()
        self._is_training = False

    def forward(
        self,
        z: Float[Tensor, "lanes width batch"],
        weight: Float[Tensor, "lanes width 1"],
        bias: Float[Tensor, "lanes width 1"],
        running: tuple[Tensor, Tensor, Tensor],
        *,
        is_training: bool,
    ) -> Float[Tensor, "lanes width batch"]:
        """Return the normalised outputs.

        Args:
            z: Outputs of the linear layer.
            weight: Gamma.
            bias: Beta.
            running: Mean and variance ``[lanes, width, 1]`` and the count ``[lanes]`` of batches
                seen; brought up to date in training.
            is_training: Whether the batch's own statistics are used. A batch of one example has
                none (torch refuses it): it is normalised by the running ones.
        """
        mean, variance, count = running
        z = z.contiguous()  # a unit's examples side by side, as torch's kernel takes them
        self._is_training = is_training and z.shape[2] > 1
        if self._is_training:
            count += 1
        out, *statistics = torch.native_batch_norm(
            _channels(z),
            weight.reshape(-1),
            bias.reshape(-1),
            mean.view(-1),
            variance.view(-1),
            self._is_training,
            MOMENTUM,
            EPS,
        )
        self._saved = (z, weight, mean, variance, *statistics)
        return out.view(z.shape)

    def backward(
        self, d: Float[Tensor, "lanes width batch"], weight_gradient: Tensor, bias_gradient: Tensor
    ) -> Float[Tensor, "lanes width batch"]:
        """Return the gradient of the input; overwrite those of weight and bias."""
        z, weight, mean, variance, *statistics = self._saved
        d_in, d_weight, d_bias = torch.ops.aten.native_batch_norm_backward(
            _channels(d.contiguous()),
            _channels(z),
            weight.reshape(-1),
            mean.view(-1),
            variance.view(-1),
            *statistics,
            self._is_training,
            EPS,
            [True, True, True],
        )
        weight_gradient.copy_(d_weight.view(weight.shape))
        bias_gradient.copy_(d_bias.view(weight.shape))
        return d_in.view(z.shape)  # type: ignore[no-any-return] # untyped torch.ops


def _channels(z: Tensor) -> Tensor:
    return z.view(1, -1, z.shape[2])
