"""Commands that show studies and trials."""

from collections.abc import Callable
from itertools import islice
from typing import Annotated

import typer

from hpsearch.cli.options import AsJson, Name

PANEL = "See results"


def watch(name: Name, *, as_json: AsJson = False) -> None:
    """Watch a study to its end; Ctrl-C ends the watching alone. --json: an event a line."""
    from hpsearch.cli.failures import study_exit_code
    from hpsearch.cli.following import follow_to_summary
    from hpsearch.cli.signals import listen
    from hpsearch.client.client import Client

    listen()
    with Client() as client:
        study = follow_to_summary(client, name, as_json=as_json)
    raise typer.Exit(study_exit_code(study))


def studies(
    *,
    state: Annotated[str | None, typer.Option(help="Only those in this state.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only those with this tag.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most studies shown.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List the studies."""
    from hpsearch.cli.console import stdout
    from hpsearch.cli.json_lines import print_json
    from hpsearch.cli.tables import study_table
    from hpsearch.client.client import Client

    with Client() as client:
        found = list(islice(client.studies(state=_upper(state), tag=tag), limit))
    if as_json:
        print_json({"studies": found})
    elif found:
        stdout().print(study_table(found))
    else:
        stdout().print("There is no such study." if state or tag else "There is no study yet.")


def show(
    name: Name,
    number: Annotated[
        int | None, typer.Argument(metavar="[TRIAL]", help="A trial's number.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show a study, or one of its trials with attempts and epochs."""
    from hpsearch.cli.console import stdout
    from hpsearch.cli.json_lines import print_json
    from hpsearch.cli.tables import attempt_table, epoch_table, study_details, trial_details
    from hpsearch.client.client import Client

    with Client() as client:
        if number is None:
            study = client.study(name)
            if as_json:
                print_json(study)
            else:
                stdout().print(study_details(study))
            return
        trial = client.trial(name, number)
        if as_json:
            print_json(trial)
            return
        stdout().print(trial_details(trial))
        if trial.attempts:
            stdout().print("", attempt_table(trial), sep="\n")
        epochs = client.epochs(name, number)
        if epochs:
            stdout().print("", epoch_table(epochs), sep="\n")


def trials(
    name: Name,
    *,
    state: Annotated[str | None, typer.Option(help="Only those in this state.")] = None,
    order_by: Annotated[
        str, typer.Option(help="number, -number, value (best first) or -value.")
    ] = "number",
    limit: Annotated[int, typer.Option(min=1, help="Most trials shown.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List the trials of a study."""
    from hpsearch.cli.console import stderr, stdout
    from hpsearch.cli.json_lines import print_json
    from hpsearch.cli.tables import trial_table
    from hpsearch.client.client import Client

    with Client() as client:
        pages = client.trials(name, state=_upper(state), order_by=order_by)
        found = list(islice(pages, limit))
        is_more = next(pages, None) is not None
    if as_json:
        print_json({"trials": found})
    elif found:
        stdout().print(trial_table(found, width=stdout().width))
    else:
        stdout().print("There is no such trial." if state else "There is no trial yet.")
    if is_more:
        stderr().print(f"The first {limit} only: see more with --limit.", style="dim")


def best(name: Name, *, as_json: AsJson = False) -> None:
    """Show the best trial (or the Pareto front) and the top five."""
    from hpsearch.cli.console import stdout
    from hpsearch.cli.json_lines import print_json
    from hpsearch.cli.summary import print_best
    from hpsearch.client.client import Client

    with Client() as client:
        if as_json:
            print_json({"trials": client.best_trials(name)})
        else:
            print_best(stdout(), client, client.study(name))


def workers(*, as_json: AsJson = False) -> None:
    """List the workers and what they train at this moment."""
    from hpsearch.cli.console import stdout
    from hpsearch.cli.json_lines import print_json
    from hpsearch.cli.tables import worker_table
    from hpsearch.client.client import Client

    with Client() as client:
        found = client.workers()
    if as_json:
        print_json({"workers": found})
    elif found:
        stdout().print(worker_table(found))
    else:
        stdout().print("There is no worker.")


def register(app: typer.Typer) -> None:
    """Add these commands."""
    commands: tuple[Callable[..., None], ...] = (watch, studies, show, trials, best, workers)
    for command in commands:
        app.command(rich_help_panel=PANEL)(command)


def _upper(state: str | None) -> str | None:
    return state.upper() if state is not None else None
