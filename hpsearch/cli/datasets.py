"""Commands for data sets: what is there, and uploads of one's own."""

from pathlib import Path
from typing import Annotated

import typer

from hpsearch.cli.options import AsJson

DatasetName = Annotated[str, typer.Argument(metavar="NAME", help="The data set.")]


def list_datasets(*, as_json: AsJson = False) -> None:
    """List the data sets, those of the installation included."""
    from hpsearch.cli.console import stdout
    from hpsearch.cli.dataset_tables import dataset_table
    from hpsearch.cli.json_lines import print_json
    from hpsearch.client.client import Client

    with Client() as client:
        found = list(client.datasets.list())
    if as_json:
        print_json({"datasets": found})
    else:
        stdout().print(dataset_table(found))


def add(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .csv or .npz file.")],
    *,
    name: Annotated[str | None, typer.Option(help="Default: the file's name.")] = None,
    target: Annotated[
        str | None, typer.Option(help="CSV: the column to predict; default: the last one.")
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(help="classification or regression; default: inferred from the target."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Upload a data set and show how it was understood; what has a name never changes."""
    from hpsearch.cli.console import stdout
    from hpsearch.cli.dataset_tables import dataset_details
    from hpsearch.cli.json_lines import print_json
    from hpsearch.client.client import Client

    with Client() as client:
        made = client.datasets.add(file, name, target=target, task=task)
    if as_json:
        print_json(made)
    else:
        stdout().print(dataset_details(made))


def show(name: DatasetName, *, as_json: AsJson = False) -> None:
    """Show a data set: its task, its shape, its columns."""
    from hpsearch.cli.console import stdout
    from hpsearch.cli.dataset_tables import dataset_details
    from hpsearch.cli.json_lines import print_json
    from hpsearch.client.client import Client

    with Client() as client:
        found = client.datasets.get(name)
    if as_json:
        print_json(found)
    else:
        stdout().print(dataset_details(found))


def remove(name: DatasetName) -> None:
    """Delete an uploaded data set that no study needs."""
    from hpsearch.cli.console import stdout
    from hpsearch.client.client import Client

    with Client() as client:
        client.datasets.remove(name)
    stdout().print(f"{name}: removed", markup=False)


def group() -> typer.Typer:
    """Return these commands as one group."""
    commands = typer.Typer(no_args_is_help=True, help="Data sets: list, add, show, remove.")
    commands.command("list")(list_datasets)
    for command in (add, show, remove):
        commands.command()(command)
    return commands
