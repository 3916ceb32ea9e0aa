"""Commands around a study definition: init, schema, validate, submit."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hpsearch.cli.options import AsJson, DefinitionFile, New
from hpsearch.errors import InvalidRequest

if TYPE_CHECKING:
    from hpsearch.client.client import Validation
    from hpsearch.client.definitions import Draft
    from hpsearch.client.submission import Submission

PANEL = "Define a study"


def init(
    path: Annotated[
        Path, typer.Argument(metavar="[STUDY.YAML]", help="The file to write.")
    ] = Path("study.yaml"),
) -> None:
    """Write an example study definition; an existing file is left alone."""
    from importlib.resources import files

    example = files("hpsearch.cli").joinpath("example.yaml").read_text()
    try:
        with path.open("x") as file:
            file.write(example)
    except FileExistsError as error:
        raise InvalidRequest(f"{path} exists: name another file") from error
    except OSError as error:
        raise InvalidRequest(f"cannot write {path}: {error.strerror}") from error
    typer.echo(f"Wrote {path}. Run it with `hpsearch run {path}`.")


def schema() -> None:
    """Print the JSON schema of a study definition."""
    from hpsearch.catalog import installed_catalog
    from hpsearch.spec.schema import json_schema

    typer.echo(json.dumps(json_schema(installed_catalog()), indent=2))


def validate(path: DefinitionFile, *, as_json: AsJson = False) -> None:
    """Check a study definition and say what it means; nothing is created.

    A running server is asked, else this installation.
    """
    from hpsearch.cli.console import format_number, stdout
    from hpsearch.cli.json_lines import print_json

    draft = read_definition(path)
    with naming(path):
        checked = _check(draft)
    if as_json:
        print_json(checked)
        return
    size = "infinitely many" if checked.size is None else format_number(checked.size)
    points = "point" if checked.size == 1 else "points"
    stdout().print(f"{path} is valid: {size} {points} to try.", markup=False)
    for warning in checked.warnings:
        stdout().print(f"warning: {warning}", markup=False)


def submit(
    path: DefinitionFile,
    *,
    new: New = False,
    is_watched: Annotated[
        bool, typer.Option("--watch", help="Then watch the study to its end.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Hand a study in to the running server."""
    from hpsearch.cli.console import stdout
    from hpsearch.cli.failures import study_exit_code
    from hpsearch.cli.following import follow_to_summary
    from hpsearch.cli.json_lines import print_json
    from hpsearch.cli.signals import listen
    from hpsearch.client.client import Client

    draft = read_definition(path)
    with Client() as client:
        with naming(path):
            submission = client.hand_in(draft, new=new)
        study = submission.study
        if as_json and not is_watched:
            print_json(study)
        if not as_json:
            stdout().print(describe(submission), markup=False)
            if not is_watched:
                stdout().print(f"Watch it: hpsearch watch {study.name}", markup=False)
        if is_watched:
            listen()
            study = follow_to_summary(client, study.name, as_json=as_json)
            raise typer.Exit(study_exit_code(study))


def read_definition(path: Path) -> "Draft":
    """Return the definition of a file, or of standard input for ``-``."""
    from hpsearch.client.definitions import read_draft

    with naming(path):
        return read_draft(sys.stdin.read() if str(path) == "-" else path)


@contextmanager
def naming(path: Path | str) -> Iterator[None]:
    """Add the file to what is said about a definition that is refused."""
    try:
        yield
    except InvalidRequest as error:
        if str(path) not in str(error):
            error.add_note(f"in {path}")
        raise


def describe(submission: "Submission") -> str:
    """Return one line on what became of a definition."""
    study = submission.study
    if submission.is_new:
        return f"{study.name}: created, {study.state}"
    if submission.was_resumed:
        return f"{study.name}: exists with this definition, resumed"
    hint = "; --new makes another" if study.state.has_ended else ""
    return f"{study.name}: exists with this definition, {study.state}{hint}"


def register(app: typer.Typer) -> None:
    """Add these commands."""
    commands: tuple[Callable[..., None], ...] = (init, schema, validate, submit)
    for command in commands:
        app.command(rich_help_panel=PANEL)(command)


def _check(draft: "Draft") -> "Validation":
    from hpsearch.client.discovery import running_url
    from hpsearch.settings import read_settings

    settings = read_settings()
    if settings.url or running_url(settings.data_dir):
        from hpsearch.client.client import Client

        with Client() as client:
            return client.check(draft)
    return _check_here(draft)


def _check_here(draft: "Draft") -> "Validation":
    from hpsearch.catalog import installed_catalog
    from hpsearch.client.client import Validation
    from hpsearch.errors import InvalidDefinition
    from hpsearch.spec.definition import parse_definition

    try:
        definition = parse_definition(draft.document, installed_catalog(), draft.lines)
    except InvalidDefinition as error:
        if any(item.loc == ("dataset", "name") for item in error.errors):
            error.add_note("(uploaded data sets are known to a running server alone)")
        raise
    return Validation(definition.document, definition.space.size(), definition.warnings)
