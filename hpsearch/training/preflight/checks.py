"""All checks of a study before its first trial, within a few seconds, whatever breaks."""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import cached_property

from hpsearch.datasets.splits import Splits
from hpsearch.logs import get_logger
from hpsearch.spec.definition import Definition
from hpsearch.spec.findings import Finding, PreflightView, Severity
from hpsearch.training.preflight.clock import Clock, InterruptedPreflightError, limit_of
from hpsearch.training.preflight.data import check_data
from hpsearch.training.preflight.gradients import check_gradients
from hpsearch.training.preflight.initial import (
    check_layers,
    check_loss,
    check_penalty,
    start_networks,
)
from hpsearch.training.preflight.overfit import check_overfit
from hpsearch.training.preflight.points import Point, spread_points

log = get_logger(__name__)

NETWORKS_SHARE = 0.4  # of the time that is left: the checks behind need some, too


def preflight(
    definition: Definition,
    splits: Splits,
    *,
    device: str = "cpu",
    interrupted: Callable[[], bool] = lambda: False,
) -> PreflightView:
    """Return what is to be said about a study before it is trained.

    Nothing here changes a trial's result: no random state of torch is touched, and no trial is
    trained. A check that breaks is a finding of its own, never an exception.

    Args:
        definition: What will be searched.
        splits: What it will be trained on.
        device: ``cpu`` or ``cuda:0``; the small fit runs there, everything else on the CPU.
        interrupted: Whether to leave at once; asked many times a second.

    Raises:
        InterruptedPreflightError: ``interrupted`` said so.
    """
    clock = Clock(limit_of(definition.limits), interrupted)
    checks = _Checks(definition, splits, device, clock)
    findings = [*checks.data()]
    if not any(finding.severity is Severity.FAILURE for finding in findings):
        findings += [*checks.networks(), *checks.gradients(), *checks.overfit()]
    return PreflightView(device, clock.spent_s, datetime.now(UTC), tuple(findings))


class _Checks:
    """The checks in the order of their price."""

    def __init__(self, definition: Definition, splits: Splits, device: str, clock: Clock) -> None:
        self._definition, self._splits = definition, splits
        self._device, self._clock = device, clock

    @cached_property
    def _points(self) -> list[Point]:
        return spread_points(self._definition.space, self._splits.input_shape)

    def data(self) -> Iterator[Finding]:
        """Look at the examples."""
        return self._guarded("data", lambda: check_data(self._splits))

    def networks(self) -> Iterator[Finding]:
        """Look at what untrained networks answer."""

        def check() -> Iterator[Finding]:
            clock = Clock.within(self._clock, NETWORKS_SHARE * self._clock.left_s)
            starts = start_networks(self._splits, self._points, self._definition.seed, clock)
            if not starts.all:
                message = "every network looked at is too large to start in time"
                yield Finding("initial_loss", Severity.SKIPPED, message)
                return
            yield check_loss(starts)
            penalty = check_penalty(starts)
            if penalty is not None:
                yield penalty
            yield check_layers(starts)

        return self._guarded("networks", check)

    def gradients(self) -> Iterator[Finding]:
        """Compare gradients with slopes."""
        return self._guarded(
            "gradients",
            lambda: [
                check_gradients(self._splits, self._points, self._definition.seed, self._clock)
            ],
        )

    def overfit(self) -> Iterator[Finding]:
        """Train on a few examples."""
        return self._guarded(
            "overfit",
            lambda: [
                check_overfit(
                    self._definition.space,
                    self._splits,
                    seed=self._definition.seed,
                    device=self._device,
                    clock=self._clock,
                )
            ],
        )

    def _guarded(self, name: str, check: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
        if self._clock.is_over():
            yield Finding(name, Severity.SKIPPED, "there was no time left for it")
            return
        try:
            yield from check()
        except InterruptedPreflightError:
            raise
        except Exception as error:
            log.exception("preflight_check_failed", check=name)
            yield could_not_run(f"{type(error).__name__}: {error}", name)


def could_not_run(reason: str, check: str = "preflight") -> Finding:
    """Return the finding of a check that broke: the study goes on without it."""
    return Finding(check, Severity.SKIPPED, f"could not run: {reason}"[:500])


def without_data(reason: str, device: str) -> PreflightView:
    """Return the findings about a data set that cannot be had or split."""
    finding = Finding("data", Severity.FAILURE, reason)
    return PreflightView(device, 0.0, datetime.now(UTC), (finding,))
