"""A whole study definition: read, checked, every default filled in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from hpsearch.errors import FieldError, InvalidDefinition
from hpsearch.spec.branches import Part, PluginReader
from hpsearch.spec.catalog import Catalog
from hpsearch.spec.families import report_misfits, with_shape_defaults
from hpsearch.spec.fields import Settings
from hpsearch.spec.hygiene import MAX_NODES, TooLargeError, clean
from hpsearch.spec.layers import Written
from hpsearch.spec.metrics import (
    DEFAULT_OBJECTIVE,
    VALIDATION_METRICS,
    ObjectiveReader,
    Objectives,
    metric_complaint,
    natural_direction,
)
from hpsearch.spec.names import FieldNames
from hpsearch.spec.nodes import Constant, SectionSpace
from hpsearch.spec.plugins import StudyPlugin
from hpsearch.spec.problems import Problems
from hpsearch.spec.rules import check_smoothing, check_warmup
from hpsearch.spec.searchspace import SearchSpace
from hpsearch.spec.section import Section, SectionReader
from hpsearch.spec.sections import (
    DatasetInfo,
    DatasetSection,
    Direction,
    EarlyStopping,
    Execution,
    Heading,
    Limits,
    Objective,
    Task,
    Training,
    WarmStart,
    n_trained_on,
)
from hpsearch.spec.wording import listed, show
from hpsearch.spec.yaml import LineIndex

DEFAULT_TEST_FRACTION = 0.2  # of all examples, for data sets without a test split of their own
DEFAULT_SAMPLER = "tpe"
DEFAULT_PRUNER = "none"

SECTIONS = (
    "dataset",
    "model",
    "optimizer",
    "training",
    "objectives",
    "sampler",
    "pruner",
    "limits",
    "execution",
)
"""The sections of a definition, in the order of its document."""

S = TypeVar("S", bound=Settings)


@dataclass(frozen=True)
class Definition:
    """A valid study definition.

    Attributes:
        document: The full definition, JSON-ready: ranges and choices as the user wrote them,
            every default filled in. Parsing it gives the same document again.
        heading: Name, description, tags, weight and seed.
        dataset: The data and its splits; ``test_fraction`` is None exactly if the data set has
            a test split of its own.
        data: What is known of the data set.
        space: The points to try.
        objectives: What decides, the first one first.
        sampler: Settings of the sampler's plugin.
        pruner: Settings of the pruner's plugin.
        limits: When the study ends.
        execution: Which workers train it, and how.
        early_stopping: When a trial ends before its last epoch, or None.
        warnings: What is allowed but strange.
    """

    document: dict[str, Any]
    heading: Heading
    dataset: DatasetSection
    data: DatasetInfo
    space: SearchSpace
    objectives: tuple[Objective, ...]
    sampler: Settings
    pruner: Settings
    limits: Limits
    execution: Execution
    early_stopping: EarlyStopping | None
    warnings: tuple[str, ...]

    @property
    def name(self) -> str:
        """The study's name."""
        return self.heading.name

    @property
    def description(self) -> str:
        """The user's notes."""
        return self.heading.description

    @property
    def tags(self) -> tuple[str, ...]:
        """Words to filter lists by."""
        return self.heading.tags

    @property
    def weight(self) -> float:
        """The study's share of the workers, relative to others."""
        return self.heading.weight

    @property
    def seed(self) -> int:
        """Where all randomness of the study begins."""
        return self.heading.seed

    @property
    def task(self) -> Task:
        """What the data set asks for."""
        return self.data.task

    @property
    def warm_start(self) -> WarmStart | None:
        """Whose best points are tried first."""
        return self.heading.warm_start

    @property
    def goal_metric(self) -> str:
        """The metric that decides a trial's best epoch: the first one measured every epoch."""
        return next((item.metric for item in self.objectives if _is_per_epoch(item)), "val_loss")

    @property
    def goal_direction(self) -> Direction:
        """Which way ``goal_metric`` improves."""
        directions = (item.direction for item in self.objectives if _is_per_epoch(item))
        return next(directions, Direction.MINIMIZE)


def _is_per_epoch(objective: Objective) -> bool:
    return objective.metric != "n_parameters"


def parse_definition(raw: object, catalog: Catalog, lines: LineIndex | None = None) -> Definition:
    """Return the definition a user wrote.

    Args:
        raw: The value of the YAML or JSON text; anything at all.
        catalog: The plugins and data sets there are.
        lines: Where things stand in the text, for the errors.

    Raises:
        InvalidDefinition: Something is wrong; all of it is listed.
    """
    problems = Problems(lines)
    try:
        value = clean(raw, problems)
    except TooLargeError as error:
        message = f"holds more than {MAX_NODES:,} values"
        raise InvalidDefinition([FieldError((), message)]) from error
    if not isinstance(value, dict):
        problems.add(
            (), f"must be an object with name, dataset, model ..., got {show(value)}", value
        )
        problems.raise_if_any()
    return _DefinitionReader(value, catalog, problems).read()


class _DefinitionReader:
    """Reads the sections of one definition in turn, then puts them together."""

    def __init__(self, raw: Mapping[str, Any], catalog: Catalog, problems: Problems) -> None:
        self._raw = raw
        self._catalog = catalog
        self._problems = problems
        self._names = FieldNames(catalog)
        self._reader = SectionReader(self._names, problems)

    def read(self) -> Definition:
        heading = self._heading()
        info, dataset = self._dataset()
        task = info.task if info else None
        model = self._model(info)
        optimizer = self._plugin("optimizer", "name", self._catalog.optimizers)
        training = self._section("training", Training)
        self._check_early_stopping(task)
        objectives = self._objectives(task)
        sampler = self._one("sampler", self._catalog.samplers, DEFAULT_SAMPLER)
        pruner = self._one("pruner", self._catalog.pruners, DEFAULT_PRUNER)
        limits = self._section("limits", Limits)
        execution = self._section("execution", Execution)
        self._check_limits()
        warnings: list[str] = []
        if training:
            check_smoothing(training.document["label_smoothing"], task, self._problems)
        if optimizer and training:
            check_warmup(self._raw["optimizer"], training.document["epochs"], self._problems)
        if model and optimizer and training:
            points = SearchSpace(model.space, optimizer.space, training.space)
            for where, plugin in (("sampler", sampler), ("pruner", pruner)):
                warnings += self._ask(where, plugin, points, objectives.objectives)
        self._problems.raise_if_any()
        assert heading and dataset and info and model and optimizer and training  # noqa: S101, PT018
        assert sampler and pruner and limits and execution  # noqa: S101, PT018 - all were read
        section = _as(DatasetSection, dataset)
        space = SearchSpace(model.space, optimizer.space, training.space)
        return Definition(
            document={
                **heading.document,
                "dataset": dataset.document,
                "model": model.document,
                "optimizer": optimizer.document,
                "training": training.document,
                "objectives": [item.model_dump(mode="json") for item in objectives.objectives],
                "sampler": sampler.document,
                "pruner": pruner.document,
                "limits": limits.document,
                "execution": execution.document,
            },
            heading=_as(Heading, heading),
            dataset=section,
            data=info,
            space=space,
            objectives=objectives.objectives,
            sampler=sampler.settings(),
            pruner=pruner.settings(),
            limits=_as(Limits, limits),
            execution=_as(Execution, execution),
            early_stopping=_early_stopping(training.space),
            warnings=(
                *objectives.warnings,
                *_batch_warning(space, info, section),
                *warnings,
                *_crowding(sampler, _as(Limits, limits)),
            ),
        )

    def _heading(self) -> Section | None:
        written = {
            key: Written(value, (key,))
            for key, value in self._raw.items()
            if key in Heading.model_fields
        }
        for key, value in self._raw.items():
            if key not in Heading.model_fields and key not in SECTIONS:
                known = (*Heading.model_fields, *SECTIONS)
                self._problems.add(
                    (key,), self._names.advice("", key, known, "a definition"), value
                )
        return self._reader.read(written, Heading, where="", loc=())

    def _section(self, name: str, settings: type[Settings]) -> Section | None:
        return self._reader.read_plain(self._raw.get(name, {}), settings, name, (name,))

    def _is_given(self, name: str, example: str) -> bool:
        if name not in self._raw:
            self._problems.add((name,), f"is required: an object such as {example}")
        return name in self._raw

    def _model(self, info: DatasetInfo | None) -> Part | None:
        """Return the model section, with what follows from the shape of the examples."""
        families = self._catalog.families
        if info is not None and "model" in self._raw:
            model = with_shape_defaults(self._raw["model"], families, info.input_shape)
            self._raw = {**self._raw, "model": model}
        part = self._plugin("model", "family", families)
        if part is not None and info is not None:
            report_misfits(part.space, self._raw["model"], info.input_shape, self._problems)
        return part

    def _plugin(self, name: str, key: str, plugins: Mapping[str, type[Settings]]) -> Part | None:
        if not self._is_given(name, f"{{{key}: {next(iter(plugins), '...')}}}"):
            return None
        reader = PluginReader(name, key, plugins, self._names, self._problems)
        return reader.read(self._raw[name], (name,))

    def _one(
        self, name: str, plugins: Mapping[str, type[Settings]], default: str
    ) -> Section | None:
        reader = PluginReader(name, "name", plugins, self._names, self._problems, default=default)
        return reader.read_one(self._raw.get(name, {}), (name,))

    def _ask(
        self,
        where: str,
        section: Section | None,
        space: SearchSpace,
        objectives: Sequence[Objective],
    ) -> list[str]:
        """Report why a plugin cannot serve the study; return what it finds strange."""
        plugin = None if section is None else section.settings()
        if section is None or not isinstance(plugin, StudyPlugin):
            return []
        written = self._raw.get(where)
        for refusal in plugin.refusals(space, objectives):
            is_written = isinstance(written, dict) and refusal.field in written
            loc = (where, refusal.field) if is_written or refusal.field == "name" else (where,)
            self._problems.add(loc, refusal.message, section.document.get(refusal.field))
        return plugin.warnings(space, objectives)

    def _dataset(self) -> tuple[DatasetInfo | None, Section | None]:
        known = self._catalog.datasets
        if not self._is_given("dataset", f"{{name: {next(iter(known), '...')}}}"):
            return None, None
        raw = self._raw["dataset"]
        if isinstance(raw, str):
            example = raw if raw in known else next(iter(known), "...")
            message = f"must be an object such as {{name: {example}}}, got {show(raw)}"
            self._problems.add(("dataset",), message, raw)
            return known.get(raw), None
        section = self._section("dataset", DatasetSection)
        name = raw.get("name") if isinstance(raw, dict) else None
        if not isinstance(name, str):
            return None, None
        if name not in known:
            message = FieldNames.plugin_advice("dataset", "name", name, known)
            self._problems.add(("dataset", "name"), message, name)
            return None, None
        return known[name], self._with_test_fraction(section, known[name], raw)

    def _with_test_fraction(
        self, section: Section | None, info: DatasetInfo, raw: Mapping[str, Any]
    ) -> Section | None:
        """Fill in the share of the test split, which depends on the data set."""
        given = raw.get("test_fraction")
        if info.has_test_split and given is not None:
            message = f"must be left out: {info.name} has a test split of its own"
            self._problems.add(("dataset", "test_fraction"), message, given)
        if section is None or info.has_test_split or given is not None:
            return section
        fields = {**section.space.fields, "test_fraction": Constant(DEFAULT_TEST_FRACTION)}
        document = {**section.document, "test_fraction": DEFAULT_TEST_FRACTION}
        return Section(SectionSpace(section.space.settings, fields), document)

    def _check_early_stopping(self, task: Task | None) -> None:
        training = self._raw.get("training")
        stopping = training.get("early_stopping") if isinstance(training, dict) else None
        metric = stopping.get("metric") if isinstance(stopping, dict) else None
        if not isinstance(metric, str):
            return
        tasks = [task] if task is not None else list(Task)
        allowed = tuple(dict.fromkeys(name for item in tasks for name in VALIDATION_METRICS[item]))
        complaint = metric_complaint(metric, allowed, task)
        if complaint is not None:
            self._problems.add(("training", "early_stopping", "metric"), complaint, metric)

    def _objectives(self, task: Task | None) -> Objectives:
        reader = ObjectiveReader(task, self._reader, self._problems)
        if "objectives" in self._raw:
            return reader.read(self._raw["objectives"], ("objectives",))
        metric = DEFAULT_OBJECTIVE[task or Task.CLASSIFICATION]
        objective = Objective(metric=metric, direction=natural_direction(metric))
        return Objectives((objective,), ())

    def _check_limits(self) -> None:
        limits = self._raw.get("limits", {})
        sampler = self._raw.get("sampler")
        is_grid = isinstance(sampler, dict) and sampler.get("name") == "grid"
        ends = ("max_trials", "timeout_s", "device_seconds")
        if is_grid or not isinstance(limits, dict):
            return
        if all(limits.get(end) is None for end in ends):
            message = f"set at least one of {listed(ends)}: without it the study never ends"
            self._problems.add(("limits",), message, limits or None)


def _crowding(sampler: Section, limits: Limits) -> list[str]:
    """Return that a sampler that learns has too few results to learn from, if it has."""
    plugin = sampler.settings()
    n_trials, n_at_once = limits.max_trials, limits.max_concurrent_trials
    if not isinstance(plugin, StudyPlugin) or not plugin.learns:
        return []
    if n_trials is None or n_at_once is None or 4 * n_at_once <= n_trials:
        return []
    return [
        f"limits: with {n_at_once} of {n_trials} trials at once, {sampler.document['name']} "
        "proposes many points before it knows what became of the others; "
        f"it learns more with max_concurrent_trials: {max(1, n_trials // 4)}"
    ]


def _as(settings: type[S], section: Section) -> S:
    value = section.settings()
    assert isinstance(value, settings)  # noqa: S101 - the class it was read with
    return value


def _batch_warning(space: SearchSpace, info: DatasetInfo, section: DatasetSection) -> list[str]:
    n_examples = n_trained_on(info, section)
    if n_examples is None or space.max_batch_size <= n_examples:
        return []
    return [
        f"training.batch_size: {space.max_batch_size:,} is more than the {n_examples:,} examples "
        "trained on; larger batches are cut to that"
    ]


def _early_stopping(training: SectionSpace) -> EarlyStopping | None:
    node = training.fields.get("early_stopping")
    if not isinstance(node, Constant) or node.value is None:
        return None
    return EarlyStopping.model_validate(node.value)
