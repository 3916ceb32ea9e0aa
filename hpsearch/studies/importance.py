"""Which parameters the values of a study depend on."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import optuna
from optuna.trial import FrozenTrial, TrialState

from hpsearch.errors import ServiceDown
from hpsearch.sampling.overlay import STUDY_NAME, OverlayStorage
from hpsearch.spec.sections import Direction
from hpsearch.storage import studies
from hpsearch.storage.database import Database
from hpsearch.storage.history import History

if TYPE_CHECKING:
    from optuna.importance._base import BaseImportanceEvaluator

MIN_TRIALS = 4  # fewer say nothing about any parameter
MOST_FOR_FANOVA = 1_000
FANOVA_LIMIT_S = 60.0


class Evaluator(StrEnum):
    """How importance is evaluated."""

    PED_ANOVA = "ped_anova"
    FANOVA = "fanova"


@dataclass(frozen=True, slots=True)
class Importance:
    """The answer.

    Attributes:
        metric: Whose spread is explained: the first objective.
        evaluator: How.
        n_trials: How many complete trials it rests on.
        shares: Share of each parameter, largest first; they add up to 1. Empty if there is
            nothing to say.
        note: Why there is nothing to say, or what was left out; "" otherwise.
    """

    metric: str
    evaluator: Evaluator
    n_trials: int
    shares: Mapping[str, float]
    note: str = ""


def importance(
    database: Database, name: str, evaluator: Evaluator = Evaluator.PED_ANOVA
) -> Importance:
    """Return how much of the first objective each parameter explains.

    PED-ANOVA (Watanabe et al., IJCAI 2023) asks what tells good trials from the rest; fANOVA
    (Hutter et al., ICML 2014) what explains the spread of all; it can only compare parameters
    that every complete trial has, so those of branches are left out.

    Raises:
        StudyNotFound: There is none of this name.
        ServiceDown: fANOVA took longer than a minute.
    """
    with database.read() as tx:
        study = studies.get_study(tx, name)
        history = History(study.study_id)
        history.refresh(tx)
    objective = study.definition["objectives"][0]
    complete = [trial for trial in history.trials if trial.state is TrialState.COMPLETE]
    common = set.intersection(*(set(trial.params) for trial in complete)) if complete else set()
    note = _nothing_to_say(complete, common)
    shares: Mapping[str, float] = {}
    if not note:
        if evaluator is Evaluator.FANOVA:
            # its forests take a minute for 10,000 trials, and learn no more from them
            taken = complete[:: -(-len(complete) // MOST_FOR_FANOVA)]
            shares = _fanova(taken, sorted(common))
            if len(taken) < len(complete):
                note = f"of {len(taken):,} of {len(complete):,} trials"
            elif {name for trial in complete for name in trial.params} - common:
                note = "parameters that only some trials have are left out"
        else:
            direction = Direction(objective["direction"])
            with _without_sklearn():
                from optuna.importance import PedAnovaImportanceEvaluator
            shares = evaluate(complete, direction, PedAnovaImportanceEvaluator())
    return Importance(objective["metric"], evaluator, len(complete), shares, note)


def evaluate(
    trials: list[FrozenTrial], direction: Direction, evaluator: "BaseImportanceEvaluator"
) -> dict[str, float]:
    """Return Optuna's importances of complete trials, largest first."""
    with _without_sklearn():
        from optuna.importance import get_param_importances
    storage = OverlayStorage([direction], trials, ())
    study = optuna.load_study(study_name=STUDY_NAME, storage=storage)
    first = None if len(trials[0].values) == 1 else _first_value
    return get_param_importances(study, evaluator=evaluator, target=first)


@contextmanager
def _without_sklearn() -> Iterator[None]:
    """Have the imports in the block go without scikit-learn, which only fANOVA needs.

    It would cost the API process 100 MB; where it is loaded already, it stays.
    """
    is_loaded = "sklearn" in sys.modules
    if not is_loaded:
        sys.modules["sklearn"] = None  # type: ignore[assignment]  # means: cannot be imported
    try:
        yield
    finally:
        if not is_loaded:
            del sys.modules["sklearn"]


def _first_value(trial: FrozenTrial) -> float:
    value: float = trial.values[0]
    return value


def _nothing_to_say(complete: list[FrozenTrial], common: set[str]) -> str:
    if len(complete) < MIN_TRIALS:
        return f"needs at least {MIN_TRIALS} complete trials, there are {len(complete)}"
    if len({_first_value(trial) for trial in complete}) == 1:
        return "all trials have the same value"
    return "" if common else "no parameter is shared by all complete trials"


def _fanova(complete: list[FrozenTrial], names: list[str]) -> dict[str, float]:
    """Evaluate in a process of its own: the forests' library would stay in this one for ever."""
    rows = [
        {
            "value": _first_value(trial),
            "params": {
                name: {
                    "internal": trial.distributions[name].to_internal_repr(trial.params[name]),
                    "distribution": optuna.distributions.distribution_to_json(
                        trial.distributions[name]
                    ),
                }
                for name in names
            },
        }
        for trial in complete
    ]
    command = [sys.executable, "-P", "-m", "hpsearch.studies.fanova"]
    try:
        answer = subprocess.run(  # noqa: S603 - our own module, data over stdin
            command,
            input=json.dumps(rows).encode(),
            capture_output=True,
            timeout=FANOVA_LIMIT_S,
            check=True,
        )
    except subprocess.TimeoutExpired as error:
        raise ServiceDown("fanova", f"no answer within {FANOVA_LIMIT_S:.0f} s") from error
    except subprocess.CalledProcessError as error:
        lines = error.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise ServiceDown("fanova", lines[-1]) from error
    shares: dict[str, float] = json.loads(answer.stdout)
    return shares
