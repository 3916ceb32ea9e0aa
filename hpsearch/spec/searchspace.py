"""The search space of a study: its parameters, and the trial each point stands for."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from hpsearch.errors import FieldError, RequestInvalid
from hpsearch.spec.config import TrialConfig
from hpsearch.spec.nodes import Constant, Draw, Parameter, PartSpace, SectionSpace, product
from hpsearch.spec.sections import Training
from hpsearch.spec.space import Domain, IntDomain, ParameterValue
from hpsearch.spec.wording import nearest, portable, show


@dataclass(frozen=True)
class SearchSpace:
    """Every point a study may try.

    Attributes:
        model: The points of the model section.
        optimizer: The points of the optimizer section.
        training: The points of the training section.
    """

    model: PartSpace
    optimizer: PartSpace
    training: SectionSpace

    @property
    def _parts(self) -> tuple[PartSpace, ...]:
        return (self.model, self.optimizer, self.training)

    @cached_property
    def domains(self) -> Mapping[str, Domain]:
        """Every parameter there can be, by name."""
        return MappingProxyType({name: item.domain for name, item in self._parameters.items()})

    @cached_property
    def _parameters(self) -> dict[str, Parameter]:
        return {item.name: item for part in self._parts for item in part.parameters()}

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to search: trials differ by their seeds alone."""
        return not self.domains

    @cached_property
    def is_conditional(self) -> bool:
        """Whether some parameter exists at some points only."""
        always = {name for part in self._parts for name in part.constant_parameters()}
        return always != set(self.domains)

    def size(self) -> int | None:
        """Return the number of different points, None if there is a continuum."""
        return product([part.size() for part in self._parts])

    @property
    def max_epochs(self) -> int:
        """The highest number of epochs a trial may have."""
        return self._highest("epochs")

    @property
    def max_batch_size(self) -> int:
        """The largest batch a trial may ask for."""
        return self._highest("batch_size")

    def _highest(self, field: str) -> int:
        node = self.training.fields.get(field)
        if isinstance(node, Constant):
            return int(node.value)
        if not isinstance(node, Parameter):
            return int(getattr(Training(), field))
        if isinstance(node.domain, IntDomain):
            return node.domain.high
        return max(int(str(choice)) for choice in getattr(node.domain, "choices", ()))

    def suggest(self, draw: Draw) -> dict[str, ParameterValue]:
        """Return one point: the values of the parameters that are active there.

        Args:
            draw: Called with the name and domain of each active parameter, always in the same
                order; a parameter comes behind those it depends on.
        """
        params: dict[str, ParameterValue] = {}

        def recorded(name: str, domain: Domain) -> ParameterValue:
            params[name] = draw(name, domain)
            return params[name]

        for part in self._parts:
            part.point(recorded)
        return params

    def resolve(self, params: Mapping[str, ParameterValue]) -> TrialConfig:
        """Return the trial a point stands for.

        Args:
            params: A value for each active parameter, and no others.

        Raises:
            RequestInvalid: A parameter is missing, unknown, outside its domain or without
                meaning at this point, or a plugin refuses the combination. All are named.
        """
        reader = _Reader(params)
        points = [part.point(reader) for part in self._parts]
        reader.errors.extend(self._left_over(params, reader))
        if reader.errors:
            raise RequestInvalid(reader.errors)
        try:
            model, optimizer, training = [point.build() for point in points]
        except ValidationError as error:
            reasons = [detail["msg"] for detail in error.errors(include_url=False)]
            wrong = [FieldError(("params",), reason, dict(params)) for reason in reasons]
            raise RequestInvalid(wrong) from error
        assert isinstance(training, Training)  # noqa: S101 - its section is compiled from it
        return TrialConfig(model=model, optimizer=optimizer, training=training)

    def _left_over(
        self, params: Mapping[str, ParameterValue], reader: "_Reader"
    ) -> list[FieldError]:
        errors = []
        for name in params.keys() - reader.asked:
            if name not in self.domains:
                meant = nearest(name, self.domains)
                hint = f"; did you mean {meant}?" if meant else ""
                message = f"is no parameter of this study{hint}"
            elif reader.errors:
                continue
            else:
                message = "has no meaning at this point: another branch or depth is chosen"
            errors.append(FieldError(("params", name), message, portable(params[name])))
        return sorted(errors, key=lambda error: str(error.loc))

    def encode(self, name: str, value: Any) -> ParameterValue:
        """Return a value as the parameter stores it: a list becomes compact JSON text.

        Raises:
            RequestInvalid: There is no such parameter, or the value is outside its domain.
        """
        if name not in self.domains:
            meant = nearest(name, self.domains)
            hint = f"; did you mean {meant}?" if meant else ""
            raise RequestInvalid(
                [FieldError(("params", name), f"is no parameter of this study{hint}", value)]
            )
        text = encode_list(value) if isinstance(value, list | tuple) else value
        reader = _Reader({name: text})
        result = reader(name, self.domains[name])
        if reader.errors:
            raise RequestInvalid(reader.errors)
        return result

    def decode(self, name: str, value: ParameterValue) -> Any:
        """Return a parameter's value as the definition writes it: JSON text becomes a list."""
        item = self._parameters.get(name)
        return json.loads(str(value)) if item is not None and item.holds_lists else value


def encode_list(value: list[Any] | tuple[Any, ...]) -> str:
    """Return a list as the compact JSON text it has as a choice, ``[500,300]``."""
    return json.dumps(value, separators=(",", ":"))


class _Reader:
    """Draws from given values; what is wrong with them is collected."""

    def __init__(self, params: Mapping[str, ParameterValue]) -> None:
        self._params = params
        self.asked: set[str] = set()
        self.errors: list[FieldError] = []

    def __call__(self, name: str, domain: Domain) -> ParameterValue:
        self.asked.add(name)
        example = domain.choices[0] if hasattr(domain, "choices") else domain.low
        if name not in self._params:
            self.errors.append(FieldError(("params", name), "is missing"))
            return example
        value = self._params[name]
        try:
            return domain.checked(value)
        except ValueError as error:
            message = f"{error}, got {show(value)}"
            self.errors.append(FieldError(("params", name), message, portable(value)))
            return example
