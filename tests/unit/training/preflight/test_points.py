import pytest

from hpsearch.spec.space import CategoricalDomain, Domain, FloatDomain, IntDomain
from hpsearch.training.preflight.points import N_POINTS, place_of, spread_points, value_at
from tests.unit.training.preflight.cases import definition

DOMAINS: list[Domain] = [
    FloatDomain(1e-6, 1.0, log=True),
    FloatDomain(0.5, 0.9),
    FloatDomain(0.0, 1.0, step=0.25),
    IntDomain(8, 128, step=8),
    IntDomain(1, 1000, log=True),
    CategoricalDomain((None, 1.0, 5.0)),
    CategoricalDomain(("[500,300]", "[10]")),
]


@pytest.mark.parametrize("domain", DOMAINS, ids=repr)
@pytest.mark.parametrize("place", [0.0, 0.21, 0.5, 0.99, 1.0])
def test_every_place_of_a_domain_has_a_value_of_it(domain: Domain, place: float) -> None:
    value = value_at(domain, place)
    assert domain.checked(value) == value


def test_the_middle_of_a_log_scale_is_its_geometric_mean() -> None:
    assert value_at(FloatDomain(1e-6, 1.0, log=True), 0.5) == pytest.approx(1e-3)


@pytest.mark.parametrize("domain", DOMAINS[:5], ids=repr)
def test_the_place_of_a_value_leads_back_to_it(domain: Domain) -> None:
    for place in (0.0, 0.5, 1.0):
        value = value_at(domain, place)
        assert isinstance(value, int | float)
        assert value_at(domain, place_of(domain, value)) == pytest.approx(value)


def test_a_number_outside_a_domain_has_the_place_of_its_nearest_end() -> None:
    assert place_of(IntDomain(8, 128), 1000) == 1.0
    assert place_of(FloatDomain(1e-3, 1.0, log=True), 0.0) == 0.0
    assert value_at(DOMAINS[5], place_of(DOMAINS[5], 0.0)) is None


def test_the_points_visit_every_branch_and_every_part_of_every_range() -> None:
    points = spread_points(definition().space, (8, 8))
    assert {point.params["optimizer"] for point in points} == {"adam", "sgd"}
    spread = [point for point in points if not point.is_middle]
    l2 = [point.params["optimizer.l2"] for point in spread if "optimizer.l2" in point.params]
    l2 += [
        point.params[name] for point in spread for name in point.params if name.endswith("g.l2")
    ]
    assert {point.params["model.init"] for point in spread} == {"he", "xavier", "orthogonal"}
    assert {point.params["training.batch_size"] for point in spread} == {16, 64}
    assert len(spread) == N_POINTS
    assert len(set(l2)) == len(l2)


def test_each_branch_has_a_middle() -> None:
    middles = [p for p in spread_points(definition().space, (8, 8)) if p.is_middle]
    rates = {p.params["optimizer"]: p.config.optimizer for p in middles}
    assert set(rates) == {"adam", "sgd"}
    assert getattr(rates["adam"], "learning_rate") == pytest.approx(1e-2)  # noqa: B009 - untyped


def test_the_same_space_gives_the_same_points() -> None:
    assert spread_points(definition().space, (8, 8)) == spread_points(definition().space, (8, 8))


def test_a_definition_without_ranges_is_one_point() -> None:
    fixed = definition(model={"family": "mlp"}, optimizer={"name": "sgd"}, training={"epochs": 2})
    (point,) = spread_points(fixed.space, (8, 8))
    assert point.params == {}
