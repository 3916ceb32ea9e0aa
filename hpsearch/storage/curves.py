"""What a study's trials have reported, kept up to date by reading only what changed."""

import json
from collections import defaultdict
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.storages._rdb.models import TrialIntermediateValueModel
from optuna.trial import TrialState
from sqlalchemy import bindparam, select

from hpsearch.storage.database import Transaction
from hpsearch.storage.tables import (
    optuna_intermediate,
    optuna_system_attrs,
    optuna_trials,
    trials,
)
from hpsearch.storage.trials import CHUNK


@dataclass(frozen=True, slots=True)
class Curve:
    """One trial as a pruner needs it.

    Attributes:
        trial_id: Optuna's id.
        number: The trial's number.
        state: Optuna's state.
        values: The metric that is pruned by, by epoch; as far as it was asked for.
        attrs: System attributes that the pruner wrote.
    """

    trial_id: int
    number: int
    state: TrialState
    values: dict[int, float]
    attrs: dict[str, Any]


_CHANGED = (
    select(trials.c.trial_id, trials.c.number, optuna_trials.c.state)
    .select_from(trials.join(optuna_trials, trials.c.trial_id == optuna_trials.c.trial_id))
    .where(trials.c.study_id == bindparam("study_id"), trials.c.revision > bindparam("after"))
)
_VALUES = (
    select(
        optuna_intermediate.c.trial_id,
        optuna_intermediate.c.step,
        optuna_intermediate.c.intermediate_value,
        optuna_intermediate.c.intermediate_value_type,
    )
    .where(optuna_intermediate.c.trial_id.in_(bindparam("ids", expanding=True)))
    .order_by(optuna_intermediate.c.step)
)
_ATTRS = select(
    optuna_system_attrs.c.trial_id, optuna_system_attrs.c.key, optuna_system_attrs.c.value_json
).where(
    optuna_system_attrs.c.trial_id.in_(bindparam("ids", expanding=True)),
    optuna_system_attrs.c.key.startswith(bindparam("prefix"), autoescape=False),
)


def changed_curves(
    tx: Transaction,
    study_id: int,
    after: int,
    *,
    attr_prefix: str | None,
    of_states: Container[TrialState],
) -> list[Curve]:
    """Return the trials stamped with a later revision.

    Args:
        tx: An open transaction.
        study_id: Whose.
        after: The revision.
        attr_prefix: Beginning of the system attributes wanted; None for none of them.
        of_states: The values of trials in these states are read.
    """
    found = tx.execute(_CHANGED, {"study_id": study_id, "after": after}).all()
    if not found:
        return []
    ids = [row[0] for row in found]
    values = _values(tx, [trial_id for trial_id, _, state in found if state in of_states])
    attrs = {} if attr_prefix is None else _attrs(tx, ids, attr_prefix)
    return [
        Curve(trial_id, number, state, values.get(trial_id, {}), attrs.get(trial_id, {}))
        for trial_id, number, state in found
    ]


def _values(tx: Transaction, ids: Sequence[int]) -> dict[int, dict[int, float]]:
    found: dict[int, dict[int, float]] = defaultdict(dict)
    restore = TrialIntermediateValueModel.stored_repr_to_intermediate_value
    finite = TrialIntermediateValueModel.TrialIntermediateValueType.FINITE
    for i in range(0, len(ids), CHUNK):
        rows = tx.execute(_VALUES, {"ids": ids[i : i + CHUNK]})
        for trial_id, step, value, kind in rows:
            found[trial_id][step] = value if kind is finite else restore(value, kind)
    return found


def _attrs(tx: Transaction, ids: Sequence[int], prefix: str) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = defaultdict(dict)
    for i in range(0, len(ids), CHUNK):
        rows = tx.execute(_ATTRS, {"ids": ids[i : i + CHUNK], "prefix": prefix})
        for trial_id, key, text in rows:
            found[trial_id][key] = json.loads(text)
    return found
