"""Uploaded data sets, from the file to the model that is taken away, in this process."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from pydantic import TypeAdapter

from hpsearch.api import shapes
from hpsearch.datasets.base import REGISTRY as DATASETS
from hpsearch.datasets.splits import split
from hpsearch.datasets.stored import load_stored
from hpsearch.export.folder import write_model_folder
from hpsearch.export.trained import TrainedModel
from hpsearch.spec.sections import DatasetInfo, DatasetSection
from hpsearch.storage import datasets
from hpsearch.turn import TurnRunner
from tests.services.diabetes import write_diabetes
from tests.services.in_process import Http, served

# definition 4 of the contract; six trials of a hundred, so that a test is a few seconds
HOUSING = """
name: housing
dataset: {name: housing, test_fraction: 0.2, validation_fraction: 0.2, split_seed: 7}
model: {family: mlp, hidden_layers: {low: 0, high: 3}, hidden_units: {low: 8, high: 128, step: 8}}
optimizer:
  name: adam
  learning_rate: {low: 1e-4, high: 3e-2, log: true}
  l2: {low: 1e-6, high: 0.1, log: true}
training:
  epochs: {low: 50, high: 200, step: 50}
  batch_size: {low: 16, high: 256, log: true}
  early_stopping: {metric: val_rmse, patience: 15, min_delta: 0.5}
objectives: [{metric: val_rmse, target_value: 40}]
limits: {max_trials: 6}
"""


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def http(database_url: str, tmp_path: Path) -> Iterator[Http]:
    with served(database_url, tmp_path / "data") as http:
        yield http


@pytest.fixture
def lite(sqlite_url: str, tmp_path: Path) -> Iterator[Http]:
    with served(sqlite_url, tmp_path / "data") as http:
        yield http


def train(http: Http, **changes: Any) -> None:
    """Run turns as a worker of this server does, until nothing is left."""
    runner = TurnRunner(
        http.database,
        **{
            "worker": "worker-0",
            "device": "cpu",
            "datasets_dir": Path("/nowhere"),
            "artifacts_dir": http.app.state.services.artifacts_dir,
            "lease_s": 30.0,
            "turn_s": 60.0,
            **changes,
        },
    )
    for _ in range(20):
        if runner.run(None, lambda: False).study is None:
            return
    pytest.fail("the study does not end")


def submit(http: Http, text: str) -> None:
    answer = http.post("/v1/studies", content=text, headers={"content-type": "application/yaml"})
    assert answer.status_code == 201, answer.text


def upload(http: Http, name: str, content: str | bytes, query: str = "") -> None:
    kind = "application/x-npz" if isinstance(content, bytes) else "text/csv"
    answer = http.send(
        "PUT", f"/v1/datasets/{name}{query}", content=content, headers={"content-type": kind}
    )
    assert answer.status_code == 201, answer.text


def raw_test_split(http: Http, study: str) -> tuple[Any, Any]:
    """Return the test examples of a study, before any scaling of the inputs."""
    definition = http.get(f"/v1/studies/{study}").json()["definition"]
    section = DatasetSection(**{**definition["dataset"], "normalize": "none"})
    with http.database.read() as tx:
        record = datasets.find_dataset(tx, section.name)
    info: DatasetInfo = record.info if record else DATASETS[section.name]().info()
    if record:
        arrays = load_stored(http.app.state.services.artifacts_dir, info)
    else:
        arrays = DATASETS[section.name]().load(Path("/nowhere"))
    splits = split(arrays, section, info.task)
    y = splits.test.y
    if info.task == "regression":
        y = y * splits.scaling.target_scale + splits.scaling.target_shift
    return splits.test.x.reshape(-1, *info.input_shape), y


def predictor(http: Http, study: str, number: int, folder: Path) -> Any:
    """Return ``predict`` of the script that is exported with a trial's model."""
    data = http.get(f"/v1/studies/{study}/trials/{number}/model").content
    write_model_folder(folder, data, {})
    space: dict[str, Any] = {"__file__": str(folder / "predict.py"), "__name__": "predict"}
    exec((folder / "predict.py").read_text(), space)
    return space["predict"]


def test_a_regression_on_an_uploaded_table_predicts_in_the_targets_own_unit(
    http: Http, tmp_path: Path
) -> None:
    table = write_diabetes(tmp_path / "housing.csv").read_text()
    upload(http, "housing", table, "?target=price&task=regression")
    submit(http, HOUSING)

    train(http)

    study = http.get("/v1/studies/housing").json()
    assert (study["state"], study["state_reason"]) == ("COMPLETED", "MAX_TRIALS")
    best = study["best_trials"][0]
    # the target's deviation is 77; whoever predicts the mean is that far off
    assert 40 < best["values"]["val_rmse"] < 70
    epoch = http.get(f"/v1/studies/housing/trials/{best['number']}/epochs").json()["epochs"]
    at_best = epoch[best["best_epoch"] - 1]
    assert at_best["val_rmse"] == best["values"]["val_rmse"]
    assert 0.2 < at_best["val_r2"] < 0.8
    assert min(row["val_rmse"] for row in epoch) == at_best["val_rmse"]

    x, y = raw_test_split(http, "housing")
    said = predictor(http, "housing", best["number"], tmp_path / "model")(x)
    rmse = float(np.sqrt(np.mean((said - y) ** 2)))
    assert rmse == pytest.approx(best["test"]["rmse"], rel=1e-4)
    r2 = 1 - np.mean((said - y) ** 2) / np.var(y)
    assert r2 == pytest.approx(best["test"]["r2"], rel=1e-3)


def test_the_exported_script_reads_the_table_itself(lite: Http, tmp_path: Path) -> None:
    table = write_diabetes(tmp_path / "housing.csv").read_text()
    upload(lite, "housing", table, "?target=price&task=regression")
    submit(lite, HOUSING.replace("max_trials: 6", "max_trials: 1"))
    train(lite)
    data = lite.get("/v1/studies/housing/trials/0/model").content
    write_model_folder(tmp_path, data, {})
    space: dict[str, Any] = {"__file__": str(tmp_path / "predict.py"), "__name__": "predict"}
    exec((tmp_path / "predict.py").read_text(), space)

    rows = space["rows"](tmp_path / "housing.csv")

    artifacts = lite.app.state.services.artifacts_dir
    (stored,) = artifacts.glob("datasets/*/x_train.npy")
    np.testing.assert_array_equal(np.array(rows, float), np.load(stored))
    assert space["predict"](rows).shape == (442, 1)


DIGITS = """
name: digits
dataset: {name: digits, train_fraction: 0.2}
model: {family: mlp, hidden_units: 32, activation: {choices: [relu, gelu]}}
optimizer: {name: adam, learning_rate: 1e-2}
training: {epochs: 5, batch_size: 32}
limits: {max_trials: 2}
"""


def test_a_classifier_leaves_with_its_test_metrics_and_its_confusions(
    http: Http, tmp_path: Path
) -> None:
    from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score

    submit(http, DIGITS)
    train(http)
    trial = http.get("/v1/studies/digits/trials/0").json()
    x, y = raw_test_split(http, "digits")
    y = y.astype(int)

    said = predictor(http, "digits", 0, tmp_path / "model")(x).argmax(1)
    assert np.mean(said == y) == pytest.approx(trial["test"]["accuracy"])
    onnx = http.get("/v1/studies/digits/trials/0/model?format=onnx")
    assert onnx.headers["content-disposition"] == 'attachment; filename="digits-0.onnx"'
    session = onnxruntime.InferenceSession(onnx.content)
    np.testing.assert_array_equal(session.run(["class"], {"input": x})[0], said)

    assert trial["confusion"]["examples"] == confusion_matrix(y, said).tolist()
    assert trial["test"]["macro_f1"] == pytest.approx(f1_score(y, said, average="macro"))
    expected = balanced_accuracy_score(y, said)
    assert trial["test"]["balanced_accuracy"] == pytest.approx(expected)


@pytest.mark.parametrize(
    "model",
    [
        "{family: mlp, hidden_units: [16, 12], batch_norm: true, dropout: 0.1}",
        "{family: mlp, hidden_layers: 0}",
        "{family: recurrent, cell: gru, hidden_units: 16, hidden_layers: 2}",
        "{family: recurrent, cell: lstm, hidden_units: 16}",
        "{family: recurrent, cell: vanilla, activation: relu, hidden_units: 16, steps: 16}",
    ],
)
def test_every_kind_of_network_leaves_with_its_test_metrics(
    lite: Http, tmp_path: Path, model: str
) -> None:
    lines = [f"model: {model}" if line[:6] == "model:" else line for line in DIGITS.splitlines()]
    submit(lite, "\n".join(lines).replace("max_trials: 2", "max_trials: 1"))
    train(lite)
    trial = lite.get("/v1/studies/digits/trials/0").json()
    x, y = raw_test_split(lite, "digits")

    p = predictor(lite, "digits", 0, tmp_path / "model")(x)
    onnx = lite.get("/v1/studies/digits/trials/0/model?format=onnx").content
    q = onnxruntime.InferenceSession(onnx).run(["probabilities"], {"input": x})[0]

    for given in (p, q):
        right = given[np.arange(len(y)), y.astype(int)]
        assert -np.log(right).mean() == pytest.approx(trial["test"]["loss"], rel=1e-4)
        assert np.mean(given.argmax(1) == y) == pytest.approx(trial["test"]["accuracy"])


def test_images_with_named_classes_and_a_test_split_of_their_own_train(lite: Http) -> None:
    digits = DATASETS["digits"]().load(Path("/nowhere"))
    names = np.array([f"digit {n}" for n in range(10)])
    file = io.BytesIO()
    x, y = (digits.x_train * 15).astype(np.uint8), names[digits.y_train]
    np.savez(file, x_train=x[:1500], y_train=y[:1500], x_test=x[1500:], y_test=y[1500:])
    upload(lite, "mine", file.getvalue())
    submit(lite, DIGITS.replace("name: digits", "name: mine").replace("0.2", "0.5"))

    train(lite)

    trial = lite.get("/v1/studies/mine/trials/0").json()
    assert trial["test"]["accuracy"] > 0.8
    assert trial["confusion"]["classes"] == names.tolist()
    assert sum(map(sum, trial["confusion"]["examples"])) == len(x) - 1500


def test_a_worker_without_the_arrays_says_which_folder_it_misses(
    lite: Http, tmp_path: Path
) -> None:
    table = write_diabetes(tmp_path / "housing.csv").read_text()
    upload(lite, "housing", table)
    submit(lite, HOUSING)

    train(lite, artifacts_dir=tmp_path / "elsewhere")

    study = lite.get("/v1/studies/housing").json()
    assert (study["state"], study["state_reason"]) == ("FAILED", "DATASET")
    assert str(tmp_path / "elsewhere" / "datasets") in study["warnings"][-1]
    assert "HPSEARCH_ARTIFACTS_URL" in study["warnings"][-1]


def test_a_name_that_is_given_again_never_brings_old_examples_back(lite: Http) -> None:
    for rows in (30, 40):
        table = "a,b\n" + "".join(f"{i},{i * 2.5}\n" for i in range(rows))
        upload(lite, "again", table)
        submit(
            lite,
            HOUSING.replace("housing", "again").replace("max_trials: 6", "max_trials: 1"),
        )
        train(lite)
        assert lite.get("/v1/studies/again").json()["state"] == "COMPLETED"
        assert lite.send("DELETE", "/v1/studies/again").status_code == 204
        assert lite.send("DELETE", "/v1/datasets/again").status_code == 204
    artifacts = lite.app.state.services.artifacts_dir
    assert [path for path in artifacts.rglob("*") if path.is_file()] == []


def test_models_are_there_for_complete_trials_alone(lite: Http) -> None:
    submit(lite, DIGITS)
    train(lite)
    assert lite.get("/v1/studies/digits/trials/0/model?format=pickle").status_code == 422
    assert lite.get("/v1/studies/digits/trials/9/model").status_code == 404
    model = TrainedModel.from_safetensors(lite.get("/v1/studies/digits/trials/0/model").content)
    answer = lite.get("/v1/studies/digits/trials/0/histograms?bins=10").json()
    TypeAdapter(shapes.HistogramList).validate_python(answer)
    found = {each["name"]: each for each in answer["histograms"]}
    assert set(found) == set(model.weights)
    for name, array in model.weights.items():
        counts, edges = np.histogram(array.astype(np.float64), 10)
        assert (found[name]["counts"], found[name]["edges"]) == (counts.tolist(), edges.tolist())
    wrong = lite.get("/v1/studies/digits/trials/0/histograms?bins=0")
    assert (wrong.status_code, wrong.json()["errors"][0]["loc"]) == (422, ["query", "bins"])
    assert "data-histograms" in lite.get("/studies/digits/trials/0").text
    for path in lite.app.state.services.artifacts_dir.glob("*/0/model.safetensors"):
        path.unlink()
    gone = lite.get("/v1/studies/digits/trials/0/model")
    assert (gone.status_code, gone.json()["type"]) == (404, "/problems/not-found")
    assert "artifacts" in gone.json()["detail"]
    assert lite.get("/v1/studies/digits/trials/0/histograms").status_code == 404


def test_the_table_of_trials_has_a_column_for_everything(lite: Http) -> None:
    submit(lite, DIGITS)
    train(lite)
    answer = lite.get("/v1/studies/digits/trials.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    shown = lite.get("/v1/studies/digits/trials").json()["trials"]
    assert [int(row["number"]) for row in rows] == [0, 1]
    for row, trial in zip(rows, shown, strict=True):
        assert row["model.activation"] == trial["params"]["model.activation"]
        assert float(row["val_accuracy"]) == trial["values"]["val_accuracy"]
        assert float(row["test_macro_f1"]) == trial["test"]["macro_f1"]
        assert json.loads(row["stopped_early"]) is trial["stopped_early"]
        assert row["created_at"] == trial["created_at"]
