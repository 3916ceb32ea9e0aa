"""How a settings class says which of its fields may be searched."""

from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from pydantic import BaseModel, ConfigDict


class _Missing(Enum):
    MISSING = "missing"


MISSING: Final = _Missing.MISSING


class Settings(BaseModel):
    """Base of everything a user may write and of every plugin: frozen, strict, nothing unknown.

    A subclass of a plugin room describes one *resolved* plugin: every field has one plain value.
    What the user may write instead (a range, choices) follows from the :class:`Searchable`
    marks on its fields.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class Searchable:
    """Mark of a field that may be a constant, a range or choices.

    Used in an annotation, ``learning_rate: Annotated[float, Field(gt=0), Searchable()] = 0.01``.

    Attributes:
        per_layer: Name of the sibling field that holds the depth, if the resolved value is a
            tuple with one entry per layer (``hidden_units`` of an mlp); None for a plain value.
        default: What an absent field stands for, when that is not the pydantic default: a
            per-layer field's default is one entry (128), its resolved value a tuple.
    """

    per_layer: str | None = None
    default: Any = MISSING
