"""Commands that change what a study is after: set, enqueue, retry."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from hpsearch.cli.options import AsJson, Name

PANEL = "Control a study"
_LIMITS = (
    "max_trials",
    "max_concurrent_trials",
    "max_failed_trials",
    "max_attempts",
    "timeout_s",
    "trial_timeout_s",
    "device_seconds",
)
_OTHERS = ("weight", "description", "tags")


def change(
    name: Name,
    changes: Annotated[
        list[str],
        typer.Argument(
            metavar="FIELD=VALUE...",
            help="max_trials=50, timeout_s=null (no limit), weight=2, tags=a,b ...",
        ),
    ],
    *,
    as_json: AsJson = False,
) -> None:
    """Change a study's limits, weight, description or tags, whatever its state.

    Raising a limit that has ended a study lets it go on.
    """
    from hpsearch.cli.console import stdout
    from hpsearch.cli.json_lines import print_json
    from hpsearch.client.client import Client

    patch = _patch(changes)
    with Client() as client:
        study = client.change(name, patch)
    if as_json:
        print_json(study)
        return
    limits = {field: value for field, value in study.definition["limits"].items() if value}
    shown = ", ".join(f"{field}={value:g}" for field, value in limits.items())
    stdout().print(f"{study.name}: {study.state}, {shown}", markup=False)


def enqueue(
    name: Name,
    *,
    params: Annotated[
        list[str] | None,
        typer.Option(
            metavar="POINT",
            help="optimizer.learning_rate=0.01, may be repeated; or an object as JSON. "
            "What is left out is sampled.",
        ),
    ] = None,
    from_trial: Annotated[
        int | None, typer.Option(metavar="N", help="The point of this trial instead.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="How many; same point, other seeds.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Add trials at a point of your own or of another trial; they are trained next."""
    from hpsearch.cli.console import stdout
    from hpsearch.cli.json_lines import print_json
    from hpsearch.client.client import Client

    if bool(params) == (from_trial is not None):
        raise typer.BadParameter("give either --params or --from-trial")
    point = _point(params) if params else None
    with Client() as client:
        added = client.enqueue(name, point, from_trial=from_trial, count=count)
    if as_json:
        print_json({"trials": added})
        return
    numbers = ", ".join(str(trial.number) for trial in added)
    what = "trial" if len(added) == 1 else "trials"
    stdout().print(f"{name}: {what} {numbers} will be trained next", markup=False)


def retry(
    name: Name,
    number: Annotated[int, typer.Argument(metavar="TRIAL", help="A trial that failed.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Try a failed trial's point again, as a new trial; max_trials grows by one."""
    from hpsearch.cli.console import stdout
    from hpsearch.cli.json_lines import print_json
    from hpsearch.client.client import Client

    with Client() as client:
        added = client.retry_trial(name, number)
    if as_json:
        print_json(added)
        return
    text = f"{name}: trial {added.number} tries the point of trial {number} again"
    stdout().print(text, markup=False)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("set", rich_help_panel=PANEL)(change)
    others: tuple[Callable[..., None], ...] = (enqueue, retry)
    for command in others:
        app.command(rich_help_panel=PANEL)(command)


def _patch(changes: list[str]) -> dict[str, Any]:
    """Return ``max_trials=50`` and the like as a merge patch; values are read as YAML."""
    patch: dict[str, Any] = {}
    for change in changes:
        path, is_given, text = change.partition("=")
        field = path.removeprefix("limits.")
        if not is_given or (field not in _LIMITS and path not in _OTHERS):
            known = ", ".join((*_LIMITS, *_OTHERS))
            raise typer.BadParameter(f"{change!r}: expected FIELD=VALUE with one of {known}")
        value = text if path == "description" else _value(text)
        if field in _LIMITS:
            patch.setdefault("limits", {})[field] = value
        elif path == "tags" and isinstance(value, str):
            patch[path] = [tag.strip() for tag in value.split(",") if tag.strip()]
        else:
            patch[path] = value
    return patch


def _point(texts: list[str]) -> dict[str, Any]:
    """Return ``name=value`` and objects as one point; values are read as YAML."""
    point: dict[str, Any] = {}
    for text in texts:
        name, is_given, value = text.partition("=")
        if not text.lstrip().startswith("{") and is_given:
            point[name.strip()] = _value(value)
            continue
        fields = _value(text)
        if not isinstance(fields, dict):
            raise typer.BadParameter(f"--params: expected NAME=VALUE or an object, got {text!r}")
        point.update(fields)
    return point


def _value(text: str) -> Any:
    from hpsearch.spec.yaml import load_yaml

    return load_yaml(text)[0] if text.strip() else ""
