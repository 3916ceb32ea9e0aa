"""The kernel of the loss is plain torch's loss, lane by lane."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from tests.native import PLAIN, UNPAIRED, Memory, Place, Way, bits, normal

every_way = pytest.mark.parametrize("way", UNPAIRED, ids=str)
SIZES = [(1, 2), (7, 3), (5, 8), (20, 10), (3, 16), (4, 17), (2, 33), (1, 1000)]  # batch, classes
SMOOTHING = (0.0, 0.1, 0.7)
TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-14}


def losses(
    way: Way, z: Tensor, y: Tensor, smoothing: Tensor, place: Place = PLAIN
) -> tuple[Tensor, Tensor]:
    """Return the gradient and the sums ``[lanes, 2]``, which begin at one; shared if ``y`` is."""
    out = Memory(z.shape, way.dtype, place)
    sums = Memory.of(torch.ones(len(z), 2, dtype=torch.float64), place)
    way.call(
        "cross_entropy",
        lanes=z.shape[0],
        batch=z.shape[1],
        classes=z.shape[2],
        z=Memory.of(z, place),
        d=out,
        y=Memory.of(y, place),
        y_lane=0 if y.dim() == 1 else y.shape[1] * 8,
        smoothing=Memory.of(smoothing.to(way.dtype)),
        sums=sums,
    )
    return out.tensor, sums.tensor


def targets(seed: int, *shape: int, n_classes: int) -> Tensor:
    return torch.randint(n_classes, shape, generator=torch.Generator().manual_seed(seed))


@every_way
@pytest.mark.parametrize("is_shared", [True, False])
@pytest.mark.parametrize(("batch", "classes"), SIZES)
def test_gradient_loss_and_hits_are_torchs(
    way: Way, batch: int, classes: int, is_shared: bool
) -> None:
    z = normal(way, 1, 3, batch, classes) * 5
    y = targets(2, *(() if is_shared else (3,)), batch, n_classes=classes)
    d, sums = losses(way, z, y, torch.tensor(SMOOTHING), Place(is_last=False, shift=3))
    for lane, smoothing in enumerate(SMOOTHING):
        one, its = z[lane].double().requires_grad_(), y if is_shared else y[lane]
        smoothing = float(torch.tensor(smoothing).to(way.dtype))
        (slope,) = torch.autograd.grad(cross_entropy(one, its, label_smoothing=smoothing), one)
        tolerance = TOLERANCE[way.dtype]
        torch.testing.assert_close(d[lane].double(), slope, rtol=0, atol=tolerance)
        loss = cross_entropy(one.detach(), its, reduction="sum")
        hits = (one.argmax(1) == its).sum()
        torch.testing.assert_close(sums[lane, 0], loss + 1, rtol=4 * tolerance, atol=0)
        assert sums[lane, 1] == hits + 1


@every_way
@pytest.mark.parametrize(
    ("scores", "hit"), [((1, 3, 3, 0), 1), ((2, 2, 2, 2), 0), ((0, 0, 0, 5), 3)]
)
def test_of_classes_that_are_equally_likely_the_first_one_counts(
    way: Way, scores: tuple[int, ...], hit: int
) -> None:
    z = torch.tensor([[scores]] * 4, dtype=way.dtype)
    _, sums = losses(way, z, torch.arange(4)[:, None], torch.zeros(4))
    assert (sums[:, 1] - 1).tolist() == [float(k == hit) for k in range(4)]


@every_way
def test_a_gradient_may_take_the_place_of_the_outputs(way: Way) -> None:
    z, y = normal(way, 1, 2, 9, 19), targets(2, 9, n_classes=19)
    expected, _ = losses(way, z, y, torch.zeros(2))
    both, sums = Memory.of(z), Memory.of(torch.zeros(2, 2, dtype=torch.float64))
    way.call(
        "cross_entropy",
        lanes=2,
        batch=9,
        classes=19,
        z=both,
        d=both,
        y=Memory.of(y),
        y_lane=0,
        smoothing=Memory.of(torch.zeros(2, dtype=way.dtype)),
        sums=sums,
    )
    assert torch.equal(bits(both.tensor), bits(expected))


@every_way
@pytest.mark.parametrize("wild", [float("nan"), float("inf"), float("-inf"), 3e38])
def test_a_lane_alone_and_beside_a_wild_one(way: Way, wild: float) -> None:
    z, y = normal(way, 1, 3, 9, 19), targets(2, 3, 9, n_classes=19)
    smoothing = torch.tensor(SMOOTHING)
    z[1, 4, 7] = wild
    d, sums = losses(way, z, y, smoothing)
    for lane in (0, 2):
        here = slice(lane, lane + 1)
        one, its = losses(way, z[here], y[here], smoothing[here], Place(is_last=False, shift=1))
        assert torch.equal(bits(one[0]), bits(d[lane]))
        assert torch.equal(its[0], sums[lane])


@every_way
@pytest.mark.parametrize("wild", [float("nan"), float("inf")])
def test_an_output_that_is_no_number_makes_a_loss_that_is_none(way: Way, wild: float) -> None:
    z, y = normal(way, 1, 1, 3, 5), torch.zeros(3, dtype=torch.int64)
    z[0, 1, 4] = wild
    d, sums = losses(way, z, y, torch.zeros(1))
    assert sums[0, 0].isnan()
    assert d[0, 1].isnan().any()
    assert d[0, ::2].isfinite().all()


@every_way
def test_large_outputs_overflow_nothing(way: Way) -> None:
    z = torch.tensor([[[1e4, -1e4, 0.0], [0.0, 200.0, 199.0]]], dtype=way.dtype)
    d, sums = losses(way, z, torch.tensor([1, 2]), torch.zeros(1))
    assert d.isfinite().all()
    expected = cross_entropy(z[0].double(), torch.tensor([1, 2]), reduction="sum")
    assert sums[0, 0] - 1 == pytest.approx(float(expected), rel=1e-6)
