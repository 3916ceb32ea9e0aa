"""One affine map per lane, forward and backward, in batched products."""

import torch
from jaxtyping import Float
from torch import Tensor

from hpsearch.errors import ShapeError
from hpsearch.layers.products import Products

_BLOCK = 64  # columns: four AVX-512 registers of single precision


def linear(
    x: Float[Tensor, "..."],
    weight: Float[Tensor, "lanes hidden features"],
    bias: Float[Tensor, "lanes hidden 1"],
    products: Products,
) -> Float[Tensor, "lanes hidden batch"]:
    """Apply one affine map per lane.

    Lane k equals ``weight[k] @ x[k] + bias[k]``. Lanes never mix: a NaN stays in its lane.

    Args:
        x: ``[batch, features]``, one mini-batch for all lanes (the whole layer is one large
            product), or ``[lanes, features, batch]``.
        weight: As in ``nn.Linear``; activations are feature-major.
        bias: One column per lane.
        products: How matrices are multiplied.

    Raises:
        ShapeError: Lane counts or features differ.

    Cost: 2·lanes·batch·features·hidden FLOP.
    Source: Wang et al., Horizontally Fused Training Array, MLSys 2021, arXiv:2102.02344.
    """
    n_features = x.shape[1]
    if n_features != weight.shape[2] or (x.dim() == 3 and x.shape[0] != weight.shape[0]):
        raise ShapeError(f"input {tuple(x.shape)} does not fit weights {tuple(weight.shape)}")
    return products.forward(weight, x).add_(bias)


def linear_backward(
    d: Float[Tensor, "lanes hidden batch"],
    x: Float[Tensor, "..."],
    weight_gradient: Float[Tensor, "lanes hidden features"],
    bias_gradient: Float[Tensor, "lanes hidden 1"],
    products: Products,
) -> Float[Tensor, "lanes hidden features"]:
    """Return the gradient of the weight, given the gradient ``d`` of the output.

    Args:
        d: Gradient of the layer's output.
        x: The input :func:`linear` was given.
        weight_gradient: Memory for what is returned, which may stand elsewhere, too.
        bias_gradient: Overwritten.
        products: How matrices are multiplied.
    """
    # torch sums columns in blocks, those left over in another order: no lane may be among them
    is_whole = d.stride(2) == 1 or d.shape[1] % _BLOCK == 0
    torch.sum(d if is_whole else d.contiguous(), 2, keepdim=True, out=bias_gradient)
    return products.weight_gradient(d, x, weight_gradient)
