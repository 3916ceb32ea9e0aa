"""What people write without a service: Optuna alone, and one queue job per trial."""

import optuna

N_STEPS = 5
N_PARAMS = 4


def objective(trial: optuna.Trial) -> float:
    """Draw, report and ask about pruning as a training loop would, without the training."""
    for i in range(N_PARAMS):
        trial.suggest_float(f"x{i}", 1e-5, 1.0, log=True)
    for step in range(1, N_STEPS + 1):
        trial.report(step / N_STEPS, step)
        trial.should_prune()
    return 1.0


def open_study(url: str, name: str) -> optuna.Study:
    """Open or make a study as the documentation shows it."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        study_name=name,
        storage=url,
        sampler=optuna.samplers.RandomSampler(seed=0),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=1),
        load_if_exists=True,
    )


def one_trial(url: str, name: str) -> None:
    """Run one trial: the body of a queue job."""
    open_study(url, name).optimize(objective, n_trials=1)
