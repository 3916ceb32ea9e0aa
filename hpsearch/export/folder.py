"""A folder with one trained model: everything that is needed to predict, and to do it again."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpsearch.errors import InvalidRequest
from hpsearch.export.script import predict_script
from hpsearch.export.trained import TrainedModel


def write_model_folder(folder: Path, data: bytes, definition: Mapping[str, Any]) -> list[Path]:
    """Write ``model.safetensors, predict.py, trial.json, definition.json``; return them.

    Args:
        folder: Made if it is not there; files of these names are replaced.
        data: The model file, as the API gives it.
        definition: Of the study.

    Raises:
        InvalidRequest: The folder cannot be written, or the network is of an unknown family.
    """
    model = TrainedModel.from_safetensors(data)
    files = {
        "model.safetensors": data,
        "predict.py": predict_script(model).encode(),
        "trial.json": json.dumps(dict(model.facts), indent=2).encode(),
        "definition.json": json.dumps(dict(definition), indent=2).encode(),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
    except OSError as error:
        raise InvalidRequest(f"cannot write {folder}: {error.strerror}") from error
    return [folder / name for name in files]
