"""``predict.py``: a trained network as a few lines of NumPy, written out for this network."""

from hpsearch.export.layers import Activation, Cells, Dense, Layer, Norm, layers_of, n_features
from hpsearch.export.trained import TrainedModel

_ACTIVATIONS = {
    "relu": "np.maximum(h, 0)",
    "leaky_relu": "np.where(h > 0, h, 0.01 * h)",
    "tanh": "np.tanh(h)",
    "sigmoid": "1 / (1 + np.exp(-h))",
    "gelu": "h / 2 * (1 + np.vectorize(math.erf, otypes=[h.dtype])(h / math.sqrt(2)))",
}

_CELLS = {
    "vanilla": """\
        h = {activation}(i + h @ w["rnn.weight_hh" + layer].T + w["rnn.bias_hh" + layer])""",
    "gru": """\
        o = h @ w["rnn.weight_hh" + layer].T + w["rnn.bias_hh" + layer]
        (ir, iz, i_n), (hr, hz, hn) = np.split(i, 3, 1), np.split(o, 3, 1)
        r, z = 1 / (1 + np.exp(-ir - hr)), 1 / (1 + np.exp(-iz - hz))
        h = (1 - z) * np.tanh(i_n + r * hn) + z * h""",
    "lstm": """\
        a = i + h @ w["rnn.weight_hh" + layer].T + w["rnn.bias_hh" + layer]
        i, f, g, o = np.split(a, 4, 1)
        c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
        h = np.tanh(c) / (1 + np.exp(-o))""",
}


def predict_script(model: TrainedModel) -> str:
    """Return a program that loads ``model.safetensors`` beside it and predicts.

    It needs NumPy and safetensors, nothing of this product.

    Raises:
        InvalidRequest: The network is of a family that is not known here.
    """
    layers = layers_of(model.facts["config"]["model"], model.weights)
    cells = next((layer for layer in layers if isinstance(layer, Cells)), None)
    uses_erf = any(isinstance(layer, Activation) and layer.kind == "gelu" for layer in layers)
    is_table = any(column.get("kind") == "target" for column in model.facts["columns"])
    shape = ", ".join(str(size) for size in model.input_shape)
    what = "probabilities of classes" if model.is_classifier else "targets in their own unit"
    lines = [
        f'"""Predict with trial {model.facts["trial"]} of study {model.facts["study"]}: '
        f'python predict.py {"rows.csv" if is_table else "inputs.npy"}"""',
        *(["import csv, json"] if is_table else []),
        *(["import math"] if uses_erf else []),
        "import pathlib, sys",
        "import numpy as np",
        "from safetensors.numpy import load_file",
        "",
        "folder = pathlib.Path(__file__).parent",
        'w = load_file(folder / "model.safetensors")',
        "",
        *(_cell_function(cells) if cells else []),
        "def predict(x):",
        f'    """Return {what}, of raw inputs [n, {shape}]."""',
        "    h = np.asarray(x, np.float64).reshape(len(x), -1)",
        '    h = ((h - w["input_shift"]) * w["input_factor"]).astype(np.float32)',
        *_body(layers, model),
        *_result(model),
        "",
        *(_table_function() if is_table else []),
        'if __name__ == "__main__":',
        f"    x = {'rows' if is_table else 'np.load'}(sys.argv[1])",
        *_printing(model),
        "",
    ]
    return "\n".join(lines)


def _body(layers: list[Layer], model: TrainedModel) -> list[str]:
    lines, is_sequence = [], False
    for layer in layers:
        if isinstance(layer, Cells):
            if not is_sequence:
                n = n_features(model.weights)
                lines.append(f"    h = h.reshape(len(h), -1, {n}).swapaxes(0, 1)  # steps first")
            is_sequence = True
            lines.append(f'    h = cells(h, "{layer.suffix}")')
        elif isinstance(layer, Dense):
            last = "h[-1]" if is_sequence else "h"
            is_sequence = False
            lines.append(f'    h = {last} @ w["{layer.name}.weight"].T + w["{layer.name}.bias"]')
        elif isinstance(layer, Norm):
            name = layer.name
            lines += [
                f'    s = w["{name}.weight"] / np.sqrt(w["{name}.running_var"] + 1e-5)',
                f'    h = (h - w["{name}.running_mean"]) * s + w["{name}.bias"]',
            ]
        else:
            lines.append(f"    h = {_ACTIVATIONS[layer.kind]}")
    return lines


def _cell_function(cells: Cells) -> list[str]:
    activation = "np.tanh" if cells.activation == "tanh" else "(lambda a: np.maximum(a, 0))"
    return [
        "def cells(x, layer):",
        '    h = c = np.zeros((x.shape[1], w["rnn.weight_hh" + layer].shape[1]), np.float32)',
        "    steps = []",
        '    for i in x @ w["rnn.weight_ih" + layer].T + w["rnn.bias_ih" + layer]:',
        *_CELLS[cells.cell].format(activation=activation).splitlines(),
        "        steps.append(h)",
        "    return np.array(steps)",
        "",
    ]


def _result(model: TrainedModel) -> list[str]:
    if not model.is_classifier:
        return ['    return h * w["target_scale"] + w["target_shift"]']
    return [
        "    p = np.exp(h - h.max(1, keepdims=True))",
        "    return p / p.sum(1, keepdims=True)",
    ]


def _table_function() -> list[str]:
    return [
        "def rows(path):",
        '    columns = json.loads((folder / "trial.json").read_text())["columns"]',
        '    parts = [(c["name"], c.get("values")) for c in columns if c["kind"] != "target"]',
        '    with open(path, newline="", encoding="utf-8-sig") as file:',
        "        return [[v for name, values in parts for v in ("
        "[row[name].strip() == v for v in values] if values else [float(row[name])])]",
        "                for row in csv.DictReader(file)]",
        "",
    ]


def _printing(model: TrainedModel) -> list[str]:
    if not model.is_classifier:
        return ["    for y in predict(x):", "        print(*y)"]
    names = list(model.facts["outputs"])
    known = f"{names!r}[p.argmax()]" if 0 < len(names) <= 20 else "p.argmax()"
    return ["    for p in predict(x):", f"        print({known}, p.max())"]
