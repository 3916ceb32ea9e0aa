"""The `hpsearch` command: its subcommands, its errors, its exit codes."""

import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from hpsearch.cli import (
    control,
    datasets,
    definition,
    export,
    operate,
    preflight,
    results,
    run,
    server,
    wishes,
)
from hpsearch.cli.failures import EXIT_FAILED, exit_code, explain
from hpsearch.errors import HpsearchError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(*, is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"hpsearch {version('hpsearch')}")
        raise typer.Exit


@app.callback()
def hpsearch(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=lambda value: _print_version(is_wanted=value),
            is_eager=True,
            help="Print the version and exit.",
        ),
    ] = False,
) -> None:
    """Hyperparameter search: many small networks trained as one, on this machine or a cluster.

    Settings are read from HPSEARCH_* variables and `.env`.
    Exit codes: 0 ok; 1 the study FAILED or was CANCELLED; 2 usage or invalid definition;
    3 cannot reach the server; 130 Ctrl-C.
    """


for room in (run, server, definition, preflight, results, export, control, wishes):
    room.register(app)
app.add_typer(datasets.group(), name="datasets", rich_help_panel=definition.PANEL)
for name, group in operate.groups().items():
    app.add_typer(group, name=name, rich_help_panel="Operate")


def main() -> None:
    """Run the command line and exit with the code that tells how it went."""
    try:
        app()
    except HpsearchError as error:
        typer.echo(f"hpsearch: {explain(error)}", err=True)
        sys.exit(exit_code(error))
    except BrokenPipeError:  # `hpsearch trials … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_FAILED)


if __name__ == "__main__":
    main()
