"""Stop only what has stopped improving, even if another pruner would stop it now."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from optuna.trial import FrozenTrial
from pydantic import BeforeValidator, Field, PlainSerializer, ValidationError, WithJsonSchema

from hpsearch.pruning.base import REGISTRY, Needs, Pruner
from hpsearch.pruning.judged_study import JudgedStudy
from hpsearch.pruning.optuna_pruner import OptunaPruner, best_of
from hpsearch.spec.plugins import Refusal
from hpsearch.spec.searchspace import SearchSpace
from hpsearch.spec.sections import Direction, Objective
from hpsearch.spec.views import Pruned
from hpsearch.spec.wording import listed, show


def _read_wrapped(raw: Any) -> OptunaPruner | None:
    """Return the pruner an object such as ``{name: median}`` describes."""
    if raw is None or isinstance(raw, OptunaPruner):
        return raw
    name = raw.get("name") if isinstance(raw, Mapping) else None
    wrappable = {
        key: REGISTRY[key]
        for key in REGISTRY
        if key != "patient" and issubclass(REGISTRY[key], OptunaPruner)
    }
    if not isinstance(name, str) or name not in wrappable:
        raise ValueError(
            f"must be null or an object with the name of a pruner, {listed(wrappable)}, "
            f"got {show(raw)}"
        )
    try:
        pruner: OptunaPruner = wrappable[name].model_validate(dict(raw), strict=True)
    except ValidationError as error:
        reasons = [
            ": ".join([*map(str, detail["loc"]), detail["msg"].removeprefix("Value error, ")])
            for detail in error.errors(include_url=False)
        ]
        raise ValueError(f"is no valid {name} pruner: {'; '.join(reasons)}") from None
    return pruner


def _write_wrapped(pruner: Pruner | None) -> dict[str, Any] | None:
    return None if pruner is None else pruner.model_dump(mode="json")


WrappedPruner = Annotated[
    Any,
    BeforeValidator(_read_wrapped),
    PlainSerializer(_write_wrapped),
    WithJsonSchema(
        {
            "anyOf": [
                {
                    "type": "object",
                    "properties": {"name": {"type": "string"}},
                    "required": ["name"],
                },
                {"type": "null"},
            ]
        }
    ),
]
"""Another pruner in full, or None."""


@REGISTRY.register("patient")
class Patient(OptunaPruner):
    """Ask ``wrapped_pruner`` only about trials without improvement for ``patience`` epochs.

    Without a wrapped pruner such a trial is stopped at once. Unlike early stopping, which ends a
    trial as COMPLETE with its best epoch, this makes it PRUNED.
    """

    name: Literal["patient"] = "patient"
    wrapped_pruner: WrappedPruner = Field(None, description="the pruner that decides, or null")
    patience: int = Field(ge=0, description="epochs without improvement before it is asked")
    min_delta: float = Field(0.0, ge=0, description="smallest change that is an improvement")

    @property
    def rule(self) -> str:
        """What the decision is recorded as: ``patient``, or ``patient(median)``."""
        wrapped = self._wrapped
        return "patient" if wrapped is None else f"patient({wrapped.rule})"

    @property
    def _wrapped(self) -> OptunaPruner | None:
        wrapped: OptunaPruner | None = self.wrapped_pruner
        return wrapped

    def refusals(self, space: SearchSpace, objectives: Sequence[Objective]) -> list[Refusal]:
        """Return why the wrapped pruner cannot serve a study."""
        if self._wrapped is None:
            return []
        return [
            Refusal("wrapped_pruner", f"{refusal.field} {refusal.message}")
            for refusal in self._wrapped.refusals(space, objectives)
        ]

    def written_at(self, key: str, number: int, study: JudgedStudy) -> int:
        """Return at which epoch the wrapped pruner writes a system attribute."""
        return 0 if self._wrapped is None else self._wrapped.written_at(key, number, study)

    @property
    def needs(self) -> Needs:
        """Return what the wrapped pruner needs, at least the trial's own curve."""
        return Needs.CURVE if self._wrapped is None else self._wrapped.needs

    @property
    def attr_prefix(self) -> str | None:
        """Beginning of the attributes the wrapped pruner writes."""
        return None if self._wrapped is None else self._wrapped.attr_prefix

    def judge(self, study: JudgedStudy, trial: FrozenTrial) -> Pruned | None:
        """Return why a trial is stopped at its last epoch, or None if it goes on."""
        epochs = sorted(trial.intermediate_values)
        if len(epochs) <= self.patience + 1:
            return None
        values = [trial.intermediate_values[epoch] for epoch in epochs]
        early = best_of(values[: -self.patience - 1], study.direction)
        late = best_of(values[-self.patience - 1 :], study.direction)
        if early is None or late is None:
            return None  # nothing but NaN there
        is_maximized = study.direction is Direction.MAXIMIZE
        limit = early - self.min_delta if is_maximized else early + self.min_delta
        if not (late < limit if is_maximized else late > limit):
            return None
        if self._wrapped is None:
            return self.pruned(epochs[-1], late, limit)
        found = self._wrapped.judge(study, trial)
        return None if found is None else replace(found, rule=self.rule)
