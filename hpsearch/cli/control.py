"""Commands that change a study: pause, resume, stop, cancel, delete."""

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from hpsearch.cli.options import AsJson, Name

PANEL = "Control a study"


def pause(name: Name, *, as_json: AsJson = False) -> None:
    """Pause a study: running trials go back in the queue at their epoch's end."""
    _verb("pause", name, as_json=as_json)


def resume(name: Name, *, as_json: AsJson = False) -> None:
    """Let a paused or stopped study go on."""
    _verb("resume", name, as_json=as_json)


def stop(
    name: Name,
    number: Annotated[
        int | None, typer.Argument(metavar="[TRIAL]", help="Only this trial.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Start no more trials; the running ones finish. With TRIAL: end that one at its epoch."""
    if number is None:
        _verb("stop", name, as_json=as_json)
    else:
        _stop_trial(name, number, as_json=as_json)


def cancel(name: Name, *, as_json: AsJson = False) -> None:
    """End a study now: running trials are dropped at their epoch's end."""
    _verb("cancel", name, as_json=as_json)


def delete(
    name: Name,
    *,
    is_sure: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete a study with its trials and artifacts."""
    from hpsearch.cli.console import stdout
    from hpsearch.client.client import Client

    with Client() as client:
        if sys.stdin.isatty() and not is_sure:
            study = client.study(name)
            n_trials = study.counts.complete + study.counts.pruned + study.counts.fail
            typer.confirm(f"Delete study {name} with its {n_trials} finished trials?", abort=True)
        client.delete(name)
    stdout().print(f"{name}: deleted", markup=False)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    commands: tuple[Callable[..., None], ...] = (pause, resume, stop, cancel, delete)
    for command in commands:
        app.command(rich_help_panel=PANEL)(command)


def _stop_trial(name: str, number: int, *, as_json: bool) -> None:
    from hpsearch.cli.console import stdout
    from hpsearch.cli.json_lines import print_json
    from hpsearch.client.client import Client

    with Client() as client:
        trial = client.stop_trial(name, number)
    if as_json:
        print_json(trial)
        return
    what = f"is {trial.state}" if trial.state.has_finished else "ends at its next epoch"
    stdout().print(f"{name}: trial {number} {what}", markup=False)


def _verb(verb: str, name: str, *, as_json: bool) -> None:
    from hpsearch.cli.console import stdout
    from hpsearch.cli.json_lines import print_json
    from hpsearch.client.client import Client

    with Client() as client:
        study = getattr(client, verb)(name)
    if as_json:
        print_json(study)
        return
    reason = f" ({study.state_reason})" if study.state_reason else ""
    stdout().print(f"{study.name}: {study.state}{reason}", markup=False)
