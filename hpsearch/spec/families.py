"""What the grammar asks of model families: whether and how they read the examples there are."""

from collections.abc import Iterator, Mapping
from typing import Any

from hpsearch.spec.fields import Settings
from hpsearch.spec.nodes import BranchSpace, PartSpace, SectionSpace
from hpsearch.spec.probe import range_values, tried_values
from hpsearch.spec.problems import Loc, Problems


class Family(Settings):
    """Settings of a network, which may depend on the shape of an example."""

    @classmethod
    def defaults_for(cls, input_shape: tuple[int, ...]) -> dict[str, Any]:  # noqa: ARG003 - for families
        """Return the defaults that follow from the shape of one example."""
        return {}

    def misfit(self, input_shape: tuple[int, ...]) -> tuple[str, str] | None:  # noqa: ARG002 - for families
        """Return the field at fault and why this network cannot read such examples, or None."""
        return None


def with_shape_defaults(
    model: Any, families: Mapping[str, type[Settings]], input_shape: tuple[int, ...]
) -> Any:
    """Return a model section as written, with the defaults that follow from the examples.

    Whatever is wrong with the section is left as it is, for the reader to complain about.
    """
    if not isinstance(model, dict):
        return model
    options = model.get("choices")
    if not isinstance(options, list):
        return _filled(model, families, input_shape, ())
    common = tuple(model)
    return {
        **model,
        "choices": [_filled(option, families, input_shape, common) for option in options],
    }


def report_misfits(
    space: PartSpace, written: Mapping[str, Any], input_shape: tuple[int, ...], problems: Problems
) -> None:
    """Report networks of the space that cannot read the examples, each reason once."""
    for section, loc, own in _sections(space, written):
        if getattr(section.settings, "misfit", None) in {None, Family.misfit}:
            continue  # reads anything: no need to try out the space
        found: dict[tuple[str, str], Any] = {}
        for values in tried_values(section):
            misfit = _misfit(section, values, input_shape)
            if misfit is not None:
                found.setdefault(misfit, values.get(misfit[0]))
        if not found:  # what fits at the ends of a range may not fit between them
            for values in range_values(section):
                misfit = _misfit(section, values, input_shape)
                if misfit is not None:
                    found[misfit] = values.get(misfit[0])
                    break
        for (field, message), value in found.items():
            is_common = field not in own and field in written
            problems.add(("model", field) if is_common else (*loc, field), message, value)


def _misfit(
    section: SectionSpace, values: Mapping[str, Any], input_shape: tuple[int, ...]
) -> tuple[str, str] | None:
    settings = section.settings.model_validate(values)
    return settings.misfit(input_shape) if isinstance(settings, Family) else None


def _filled(
    section: Any,
    families: Mapping[str, type[Settings]],
    input_shape: tuple[int, ...],
    common: tuple[str, ...],
) -> Any:
    name = section.get("family") if isinstance(section, dict) else None
    family = families.get(name) if isinstance(name, str) else None
    if family is None or not issubclass(family, Family):
        return section
    defaults = {
        field: value
        for field, value in family.defaults_for(input_shape).items()
        if section.get(field) is None and field not in common
    }
    return {**section, **defaults}


def _sections(
    space: PartSpace, written: Mapping[str, Any]
) -> Iterator[tuple[SectionSpace, Loc, Mapping[str, Any]]]:
    """Yield each section with the place of its fields, and what is written there."""
    if isinstance(space, BranchSpace):
        for index, section in enumerate(space.branches.values()):
            yield section, ("model", "choices", index), written["choices"][index]
    else:
        yield space, ("model",), written
