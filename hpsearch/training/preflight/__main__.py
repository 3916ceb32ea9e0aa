"""``python -m hpsearch.training.preflight``: one preflight without a server.

A job comes as JSON on standard input, one JSON object leaves on standard output; so the command
line never loads torch.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter

from hpsearch.catalog import installed_catalog
from hpsearch.datasets.base import REGISTRY as DATASETS
from hpsearch.datasets.splits import Splits, split
from hpsearch.datasets.stored import load_stored
from hpsearch.errors import DatasetUnavailable, TrialFailed
from hpsearch.logs import configure_logs
from hpsearch.spec.definition import Definition, parse_definition
from hpsearch.spec.findings import PreflightView
from hpsearch.spec.sections import DatasetInfo
from hpsearch.training.preflight.checks import preflight, without_data


def run(job: Mapping[str, Any]) -> PreflightView:
    """Return the findings of one job.

    Args:
        job: ``document``, a definition with every default; ``dataset``, what is known of its
            data set; ``datasets_dir`` and ``artifacts_dir``, where data is; ``may_use_gpu``.
    """
    info = DatasetInfo.model_validate(job["dataset"])
    catalog = installed_catalog().with_datasets([info])
    definition = parse_definition(job["document"], catalog)
    wants_gpu = job["may_use_gpu"] and definition.execution.device != "cpu"
    device = "cuda" if wants_gpu and torch.cuda.is_available() else "cpu"
    try:
        splits = _load(definition, Path(job["datasets_dir"]), Path(job["artifacts_dir"]))
    except (DatasetUnavailable, TrialFailed) as error:
        return without_data(str(error), device)
    return preflight(definition, splits, device=device)


def main() -> None:
    """Run the job of standard input."""
    configure_logs("WARNING", "console")
    torch.set_num_threads(1)  # as trainers do
    found = run(json.load(sys.stdin))
    sys.stdout.write(TypeAdapter(PreflightView).dump_json(found).decode() + "\n")


def _load(definition: Definition, datasets_dir: Path, artifacts_dir: Path) -> Splits:
    data = definition.data
    if data.stored is not None:
        arrays = load_stored(artifacts_dir, data)
    else:
        arrays = DATASETS[data.name]().load(datasets_dir)
    return split(arrays, definition.dataset, data.task)


if __name__ == "__main__":
    main()
