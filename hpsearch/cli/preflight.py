"""The command that checks a study before it costs anything."""

import json
import subprocess
from typing import TYPE_CHECKING, Any

import typer

from hpsearch.cli.definition import PANEL, naming, read_definition
from hpsearch.cli.options import AsJson, DefinitionFile

if TYPE_CHECKING:
    from hpsearch.client.definitions import Draft
    from hpsearch.settings import Settings
    from hpsearch.spec.catalog import Catalog
    from hpsearch.spec.definition import Definition
    from hpsearch.spec.findings import PreflightView

PROGRAM = "hpsearch.training.preflight"


def preflight(path: DefinitionFile, *, as_json: AsJson = False) -> None:
    """Check data, first weights, gradients and a small fit; says what to change.

    Works here, in a few seconds, without a server. Exit code 1 if the study cannot be trained.
    """
    from hpsearch.cli.console import stderr, stdout
    from hpsearch.cli.failures import EXIT_FAILED
    from hpsearch.cli.json_lines import print_json
    from hpsearch.cli.preflight_table import print_findings
    from hpsearch.cli.signals import listen
    from hpsearch.settings import read_settings
    from hpsearch.spec.definition import parse_definition
    from hpsearch.spec.findings import Severity

    listen()
    settings = read_settings()
    draft = read_definition(path)
    with stderr().status("loading what is to be checked"):
        with naming(path):
            definition = parse_definition(draft.document, _catalog(draft, settings), draft.lines)
        found = _run(definition, settings)
    if as_json:
        print_json(found)
    else:
        for warning in definition.warnings:
            stdout().print(f"warning: {warning}", markup=False)
        print_findings(stdout(), definition.name, found)
    if any(finding.severity is Severity.FAILURE for finding in found.findings):
        raise typer.Exit(EXIT_FAILED)


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command(rich_help_panel=PANEL)(preflight)


def _run(definition: "Definition", settings: "Settings") -> "PreflightView":
    from pydantic import TypeAdapter

    from hpsearch.errors import BrokenInvariant
    from hpsearch.processes import describe_exit, python
    from hpsearch.spec.findings import PreflightView

    job = {
        "document": definition.document,
        "dataset": definition.data.model_dump(mode="json"),
        "datasets_dir": str(settings.resolved_datasets_dir),
        "artifacts_dir": str(settings.resolved_artifacts_dir),
        "may_use_gpu": not settings.devices.startswith("cpu"),
    }
    # torch stays out of this process; subprocess.run kills the child when this one is interrupted
    done = subprocess.run(  # noqa: S603 - our own module
        python(PROGRAM), input=json.dumps(job), stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode != 0:
        raise BrokenInvariant(f"the preflight ended with {describe_exit(done.returncode)}")
    found: PreflightView = TypeAdapter(PreflightView).validate_json(done.stdout)
    return found


def _catalog(draft: "Draft", settings: "Settings") -> "Catalog":
    """Return what is installed, and uploaded data sets where the definition needs one."""
    from hpsearch.catalog import installed_catalog

    catalog = installed_catalog()
    if _dataset_name(draft.document) in catalog.datasets:
        return catalog
    has_database = settings.database_url or (settings.data_dir / "hpsearch.db").exists()
    if not has_database:
        return catalog
    from hpsearch.storage.database import Database
    from hpsearch.storage.schema import is_current
    from hpsearch.studies.datasets import known_catalog

    database = Database(settings.resolved_database_url)
    try:
        return known_catalog(database) if is_current(database) else catalog
    finally:
        database.dispose()


def _dataset_name(document: Any) -> Any:
    dataset = document.get("dataset") if isinstance(document, dict) else None
    name = dataset.get("name") if isinstance(dataset, dict) else None
    return name if isinstance(name, str) else None
