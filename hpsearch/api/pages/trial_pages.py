"""The trials of a study as a table, one alone, and some side by side."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import Field

from hpsearch.api.pages.render import render_page
from hpsearch.api.pages.study_pages import (
    goal_direction,
    goal_metric,
    last_epoch,
    objective_metrics,
    series,
)
from hpsearch.api.params import Parameters, StudyName, Text, TrialNumber
from hpsearch.api.services import IdentityOf, ServicesOf
from hpsearch.errors import RequestInvalid
from hpsearch.spec.dump import dump_yaml
from hpsearch.spec.states import Origin, TrialState
from hpsearch.spec.views import EpochView, TrialView
from hpsearch.storage.database import Database
from hpsearch.storage.trials import MAX_TRIAL_NUMBER
from hpsearch.studies import read
from hpsearch.studies.events import current_revision
from hpsearch.studies.models import has_model
from hpsearch.studies.table import PARAM, trial_table

router = APIRouter(include_in_schema=False)

MAX_COMPARED = 8
MAX_EPOCHS = 1_000  # of one trial; a curve has no more pixels
DOWNLOADS = ("safetensors", "onnx")


class TableQuery(Parameters):
    """Which trials the table shows, and how."""

    state: TrialState | None = None
    origin: Origin | None = None
    where: Text = ""
    sort: Text = "value"
    desc: bool = False
    page: int = Field(1, ge=1, le=1_000_000)
    limit: int = Field(50, ge=10, le=200)


class ComparedTrials(Parameters):
    """Which trials stand side by side."""

    trial: list[Annotated[int, Field(ge=0, le=MAX_TRIAL_NUMBER)]] = Field(
        [], max_length=MAX_COMPARED, description="numbers"
    )


@router.get("/studies/{name}/trials")
def trials_page(
    services: ServicesOf,
    identity: IdentityOf,
    name: StudyName,
    query: Annotated[TableQuery, Query()],
) -> Response:
    """Show a study's trials as a table with a column for each parameter."""
    revision = current_revision(services.database, name)
    study = read.get_study(services.database, name)
    wrong = None
    asked: dict[str, Any] = {
        "state": query.state,
        "origin": query.origin,
        "sort": query.sort,
        "is_descending": query.desc,
        "page": query.page,
        "limit": query.limit,
    }
    try:
        table = trial_table(services.database, name, where=query.where, **asked)
    except RequestInvalid as error:
        if error.errors[0].loc[-1] != "where":
            raise
        wrong = error.errors[0].msg
        table = trial_table(services.database, name, **asked)
    context = {
        "study": study,
        "can_write": identity.scope != "read",
        "objectives": objective_metrics(study),
        "table": table,
        "query": query,
        "wrong": wrong,
        "param_prefix": PARAM,
        "states": list(TrialState),
        "origins": list(Origin),
        "data": {
            "name": name,
            "state": study.state,
            "revision": revision,
            "objectives": objective_metrics(study),
            "total": table.of,
        },
    }
    return render_page("trials.html", context)


@router.get("/studies/{name}/trials/{number}")
def trial_page(
    services: ServicesOf,
    identity: IdentityOf,
    name: StudyName,
    number: TrialNumber,
) -> Response:
    """Show a trial: its curves, its parameters, its attempts."""
    revision = current_revision(services.database, name)
    study = read.get_study(services.database, name)
    trial = read.get_trial(services.database, name, number)
    epochs, _ = read.trial_epochs(services.database, name, number, limit=MAX_EPOCHS)
    is_there = has_model(services.database, services.artifacts_dir, name, number)
    n_trials = sum(
        (
            study.counts.waiting, study.counts.running, study.counts.complete,
            study.counts.pruned, study.counts.fail,
        )
    )  # fmt: skip
    planned = last_epoch(study.definition)
    if trial.config is not None:
        planned = int(trial.config["training"]["epochs"])
    context = {
        "study": study,
        "trial": trial,
        "can_write": identity.scope != "read",
        "objectives": objective_metrics(study),
        "config": None if trial.config is None else dump_yaml(trial.config),
        "downloads": DOWNLOADS if trial.values and is_there else (),
        "planned": planned,
        "n_trials": n_trials,
        "is_best": number in {best.number for best in study.best_trials},
        "data": {
            "name": name,
            "revision": revision,
            "state": study.state,
            "number": number,
            "trial_state": trial.state,
            "last_epoch": planned,
            "charts": _charts_of(epochs),
        },
    }
    return render_page("trial.html", context)


@router.get("/studies/{name}/compare")
def compare_trials_page(
    services: ServicesOf, name: StudyName, query: Annotated[ComparedTrials, Query()]
) -> Response:
    """Show trials side by side: their curves, and in what they differ."""
    study = read.get_study(services.database, name)
    trials = [read.get_trial(services.database, name, n) for n in dict.fromkeys(query.trial)]
    context = {
        "study": study,
        "trials": trials,
        "objectives": objective_metrics(study),
        "rows": _differences(trials),
        "data": {"charts": _compared(services.database, name, study.definition, trials)},
    }
    return render_page("compare_trials.html", context)


def _charts_of(epochs: Iterable[EpochView]) -> list[dict[str, Any]]:
    """Return the charts of one trial: what belongs together on one."""
    listed = list(epochs)
    names = list(dict.fromkeys(name for view in listed for name in view.metrics))
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(name.removeprefix("train_").removeprefix("val_"), []).append(name)
    return [
        {
            "title": title,
            "direction": None,
            "x": "epoch",
            "series": [
                {
                    "label": name,
                    "points": [[v.epoch, v.metrics[name]] for v in listed if name in v.metrics],
                }
                for name in members
            ],
        }
        for title, members in groups.items()
    ]


def _compared(
    database: Database, name: str, definition: Mapping[str, Any], trials: list[TrialView]
) -> list[dict[str, Any]]:
    numbers = [trial.number for trial in trials]
    if not numbers:
        return []
    epochs = read.study_epochs(database, name, numbers=numbers, points=200)
    goal = goal_metric(definition)
    metrics = dict.fromkeys([goal, "val_loss", "train_loss"])
    charts = []
    for metric in metrics:
        curves = series(epochs, metric)
        if curves:
            charts.append(
                {
                    "title": metric,
                    "direction": goal_direction(definition) if metric == goal else "minimize",
                    "x": "epoch",
                    "series": [
                        {"label": f"trial {n}", "points": curves.get(n, [])} for n in numbers
                    ],
                }
            )
    return charts


def _differences(trials: list[TrialView]) -> list[tuple[str, list[Any], bool]]:
    """Return each parameter: its name, each trial's value, whether they differ."""
    names = list(dict.fromkeys(name for trial in trials for name in trial.params))
    rows = [(name, [trial.params.get(name, "–") for trial in trials]) for name in names]
    return [(name, values, len({str(v) for v in values}) > 1) for name, values in rows]
