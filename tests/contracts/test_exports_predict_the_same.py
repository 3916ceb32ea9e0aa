"""Whatever form a network leaves in, it predicts what torch predicts, from raw inputs."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from hpsearch.datasets.scaling import Scaling
from hpsearch.errors import InvalidRequest, NotInstalled
from hpsearch.export.folder import write_model_folder
from hpsearch.export.onnx_file import to_onnx
from hpsearch.export.trained import TrainedModel
from hpsearch.models.base import REGISTRY

N = 7
MODELS: list[dict[str, Any]] = [
    *(
        {"family": "mlp", "hidden_units": (6, 5), "activation": name, "dropout": (0.1, 0.1)}
        for name in ("relu", "leaky_relu", "tanh", "sigmoid", "gelu")
    ),
    {"family": "mlp", "hidden_layers": 0, "hidden_units": ()},
    {"family": "mlp", "hidden_units": (6, 5), "batch_norm": True},
    *(
        {
            "family": "recurrent",
            "cell": cell,
            "hidden_layers": depth,
            "hidden_units": 5,
            "steps": 4,
        }
        for cell in ("vanilla", "gru", "lstm")
        for depth in (1, 2)
    ),
    {
        "family": "recurrent",
        "cell": "vanilla",
        "activation": "relu",
        "hidden_units": 5,
        "steps": 2,
    },
]


def trained(model: dict[str, Any], task: str = "classification") -> tuple[TrainedModel, Any]:
    """Return a network with random weights, and its torch module."""
    shape, n_outputs = (4, 3), 3
    settings = REGISTRY[model["family"]](**model)
    rng = np.random.default_rng(1)
    n_inputs = int(np.prod(shape))
    module = settings.plain(n_inputs, n_outputs).eval()
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            values = torch.from_numpy(np.array(rng.normal(size=tuple(tensor.shape)) * 0.7))
            tensor.copy_(values.abs() + 0.1 if "running_var" in name else values)
    is_regression = task == "regression"
    scaling = Scaling(
        input_shift=rng.normal(size=n_inputs) * 100,
        input_factor=rng.random(n_inputs) + 0.5,
        target_shift=np.full(n_outputs, 40.0 * is_regression),
        target_scale=np.full(n_outputs, 1.0 + 6 * is_regression),
    )
    weights = {
        name: tensor.numpy()
        for name, tensor in module.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    facts = {
        "study": "study",
        "trial": 3,
        "task": task,
        "input_shape": list(shape),
        "n_outputs": n_outputs,
        "outputs": ["a", "b", "c"],
        "columns": [],
        "config": {"model": settings.model_dump(mode="json")},
        "values": {},
        "test": {},
    }
    return TrainedModel(weights, scaling, facts), module


def expected(made: TrainedModel, module: Any, x: NDArray[Any]) -> NDArray[Any]:
    scaling = made.scaling
    flat = (x.reshape(len(x), -1) - scaling.input_shift) * scaling.input_factor
    with torch.no_grad():
        z = module(torch.from_numpy(flat.astype(np.float32)))
    if made.is_classifier:
        return np.asarray(torch.softmax(z, 1).numpy())
    return np.asarray(z.numpy() * scaling.target_scale + scaling.target_shift)


def raw_inputs(made: TrainedModel) -> NDArray[np.float32]:
    noise = np.random.default_rng(2).normal(size=(N, 12))
    return (noise + made.scaling.input_shift).reshape(N, 4, 3).astype(np.float32)


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("model", MODELS, ids=lambda model: "-".join(map(str, model.values())))
def test_onnx_and_the_script_predict_what_torch_predicts(
    model: dict[str, Any], task: str, tmp_path: Path
) -> None:
    made, module = trained(model, task)
    x = raw_inputs(made)
    want = expected(made, module, x)

    session = onnxruntime.InferenceSession(to_onnx(made))
    given = session.run(None, {"input": x})
    np.testing.assert_allclose(given[0], want, rtol=2e-5, atol=2e-6)
    if task == "classification":
        np.testing.assert_array_equal(given[1], want.argmax(1))

    write_model_folder(tmp_path, made.to_safetensors(), {"name": "study"})
    space: dict[str, Any] = {"__file__": str(tmp_path / "predict.py"), "__name__": "predict"}
    exec((tmp_path / "predict.py").read_text(), space)
    np.testing.assert_allclose(space["predict"](x), want, rtol=2e-5, atol=2e-6)


def test_the_script_runs_alone(tmp_path: Path) -> None:
    made, module = trained(MODELS[0])
    x = raw_inputs(made)
    write_model_folder(tmp_path, made.to_safetensors(), {})
    np.save(tmp_path / "x.npy", x)
    command = [sys.executable, "-I", "predict.py", "x.npy"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    names = [line.split()[0] for line in done.stdout.splitlines()]
    assert names == ["abc"[i] for i in expected(made, module, x).argmax(1)]
    script = (tmp_path / "predict.py").read_text()
    assert "hpsearch" not in script
    assert len([line for line in script.splitlines() if line.strip()]) <= 25


def test_a_model_file_is_read_back_whole() -> None:
    made, _ = trained(MODELS[-1])
    again = TrainedModel.from_safetensors(made.to_safetensors())
    assert dict(again.facts) == dict(made.facts)
    assert {k: v.tolist() for k, v in again.weights.items()} == {
        k: v.tolist() for k, v in made.weights.items()
    }


@pytest.mark.parametrize("data", [b"", b"\xff" * 40, b"\x02\0\0\0\0\0\0\0{}"])
def test_another_file_is_no_model(data: bytes) -> None:
    with pytest.raises(InvalidRequest):
        TrainedModel.from_safetensors(data)


def test_without_the_library_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(NotInstalled, match=r"hpsearch\[onnx\]"):
        to_onnx(trained(MODELS[0])[0])
