"""fANOVA in a process of its own: complete trials come in as JSON, shares go out."""

import json
import sys

from optuna.distributions import json_to_distribution
from optuna.importance import FanovaImportanceEvaluator
from optuna.trial import create_trial

from hpsearch.spec.sections import Direction
from hpsearch.studies.importance import evaluate

SEED = 0  # the forest's; the same trials give the same shares


def main() -> None:
    """Read trials from standard input, write shares to standard output."""
    trials = []
    for number, row in enumerate(json.load(sys.stdin)):
        distributions = {
            name: json_to_distribution(param["distribution"])
            for name, param in row["params"].items()
        }
        trial = create_trial(
            value=row["value"],
            params={
                name: distributions[name].to_external_repr(param["internal"])
                for name, param in row["params"].items()
            },
            distributions=distributions,
        )
        trial.number = trial._trial_id = number
        trials.append(trial)
    shares = evaluate(trials, Direction.MINIMIZE, FanovaImportanceEvaluator(seed=SEED))
    json.dump(shares, sys.stdout)


if __name__ == "__main__":
    main()
