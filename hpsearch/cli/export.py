"""The command that takes results away: tables, event files, models."""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hpsearch.cli.options import Name

if TYPE_CHECKING:
    from hpsearch.client.client import Client

MAX_POINTS = 10_000  # epochs of one trial, the most the API gives


class Form(StrEnum):
    """What can be made of a study."""

    CSV = "csv"
    JSON = "json"
    TENSORBOARD = "tensorboard"
    MODEL = "model"
    ONNX = "onnx"


def export(
    name: Name,
    form: Annotated[
        Form,
        typer.Argument(
            metavar="FORM",
            help="csv: the trials; json: study, trials and epochs; tensorboard: event files; "
            "model: a folder with the best model and predict.py; onnx: the best model.",
        ),
    ] = Form.CSV,
    *,
    out: Annotated[
        Path | None,
        typer.Option(help="File or folder; default: after the study; `-`: standard output."),
    ] = None,
    trial: Annotated[
        int | None, typer.Option(min=0, help="The model of this trial instead of the best.")
    ] = None,
) -> None:
    """Write a study's results in a form that other programs read."""
    from hpsearch.cli.console import stdout
    from hpsearch.client.client import Client

    target = out or Path(f"{name}{_SUFFIXES[form]}")
    with Client() as client:
        _WRITERS[form](client, name, target, trial)
    if str(target) != "-":
        stdout().print(f"Wrote {target}", markup=False)


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command(rich_help_panel="See results")(export)


def _csv(client: "Client", name: str, target: Path, _trial: int | None) -> None:
    _write(target, client.trials_csv(name).encode())


def _json(client: "Client", name: str, target: Path, _trial: int | None) -> None:
    import json

    from hpsearch.cli.json_lines import to_json

    whole = {
        "study": client.study(name),
        "trials": list(client.trials(name)),
        "epochs": client.curves(name, points=MAX_POINTS),
    }
    _write(target, json.dumps(to_json(whole), indent=1, allow_nan=False).encode() + b"\n")


def _tensorboard(client: "Client", name: str, target: Path, _trial: int | None) -> None:
    from hpsearch.export.tensorboard import write_events

    _refuse_stdout(target)
    write_events(
        target,
        ((trial, client.epochs(name, trial.number)) for trial in client.trials(name)),
    )


def _model(client: "Client", name: str, target: Path, trial: int | None) -> None:
    from hpsearch.export.folder import write_model_folder

    _refuse_stdout(target)
    data = client.model(name, _number(client, name, trial))
    write_model_folder(target, data, client.study(name).definition)


def _onnx(client: "Client", name: str, target: Path, trial: int | None) -> None:
    _write(target, client.model(name, _number(client, name, trial), form="onnx"))


_SUFFIXES = {
    Form.CSV: "-trials.csv",
    Form.JSON: ".json",
    Form.TENSORBOARD: "-tensorboard",
    Form.MODEL: "-model",
    Form.ONNX: ".onnx",
}
_WRITERS: dict[Form, Callable[["Client", str, Path, int | None], None]] = {
    Form.CSV: _csv,
    Form.JSON: _json,
    Form.TENSORBOARD: _tensorboard,
    Form.MODEL: _model,
    Form.ONNX: _onnx,
}


def _number(client: "Client", name: str, trial: int | None) -> int:
    from hpsearch.errors import ModelNotFound

    if trial is not None:
        return trial
    best = client.best_trials(name)
    if not best:
        raise ModelNotFound(f"study {name!r} has no COMPLETE trial yet")
    return best[0].number


def _refuse_stdout(target: Path) -> None:
    from hpsearch.errors import InvalidRequest

    if str(target) == "-":
        raise InvalidRequest("this is a folder: name it with --out")


def _write(target: Path, content: bytes) -> None:
    import sys

    from hpsearch.errors import InvalidRequest

    if str(target) == "-":
        sys.stdout.buffer.write(content)
        return
    try:
        target.write_bytes(content)
    except OSError as error:
        raise InvalidRequest(f"cannot write {target}: {error.strerror}") from error
