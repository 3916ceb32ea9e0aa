"""A trained network as ONNX, from raw inputs to predictions; needs the library ``onnx``."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.errors import NotInstalled
from hpsearch.export.layers import Activation, Cells, Dense, Layer, Norm, layers_of, n_features
from hpsearch.export.trained import TrainedModel

OPSET = 17  # understood by every runtime since 2022
IR_VERSION = 8
NORM_EPS = 1e-5  # torch's default, and ours
_PLAIN = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid"}
# torch's gates r z n and i f g o; ONNX wants z r h and i o f c
_GATES = {"vanilla": (0,), "gru": (1, 0, 2), "lstm": (0, 3, 1, 2)}
_OPERATORS = {"vanilla": "RNN", "gru": "GRU", "lstm": "LSTM"}


def to_onnx(model: TrainedModel) -> bytes:
    """Return the file.

    It takes ``input`` (float32, ``[n, ...]`` as the data set has it, not scaled) and gives
    ``probabilities`` and ``class``, or for a regression ``prediction`` in the target's own unit.

    Raises:
        NotInstalled: The library ``onnx`` is not there.
        InvalidRequest: The network is of a family that is not known here.
    """
    try:
        import onnx  # noqa: F401 - asked for before any work
    except ImportError as error:
        raise NotInstalled(
            "ONNX needs a library that is not installed on the server: "
            "pip install 'hpsearch[onnx]', or take format=safetensors"
        ) from error
    graph = _Graph(model)
    for layer in layers_of(model.facts["config"]["model"], model.weights):
        graph.add(layer)
    return graph.finish()


class _Graph:
    """Nodes in a row; each takes what the one before gives."""

    def __init__(self, model: TrainedModel) -> None:
        from onnx import TensorProto

        self._model = model
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._last = "input"
        self._is_sequence = False
        self._double, self._float = TensorProto.DOUBLE, TensorProto.FLOAT
        scaling = model.scaling.arrays()
        self._node("Flatten", axis=1)
        self._node("Cast", to=self._double)
        self._node("Sub", self._constant("input_shift", scaling["input_shift"]))
        self._node("Mul", self._constant("input_factor", scaling["input_factor"]))
        self._node("Cast", to=self._float)

    def add(self, layer: Layer) -> None:
        if isinstance(layer, Dense):
            if self._is_sequence:
                self._node("Gather", self._constant("last", np.array(-1)), axis=0)
                self._is_sequence = False
            inputs = [self._weight(f"{layer.name}.{name}") for name in ("weight", "bias")]
            self._node("Gemm", *inputs, transB=1)
        elif isinstance(layer, Norm):
            names = ("weight", "bias", "running_mean", "running_var")
            inputs = [self._weight(f"{layer.name}.{name}") for name in names]
            self._node("BatchNormalization", *inputs, epsilon=NORM_EPS)
        elif isinstance(layer, Activation):
            self._activate(layer.kind)
        else:
            self._recur(layer)

    def finish(self) -> bytes:
        from onnx import TensorProto, checker, helper

        model = self._model
        n, width = "n", int(model.facts["n_outputs"])
        shape: list[str | int | None] = [n, *model.input_shape]
        if model.is_classifier:
            self._node("Softmax", axis=1, output="probabilities")
            self._node("ArgMax", axis=1, keepdims=0, output="class")
            outputs = [
                helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [n, width]),
                helper.make_tensor_value_info("class", TensorProto.INT64, [n]),
            ]
        else:
            scaling = model.scaling.arrays()
            self._node("Cast", to=self._double)
            self._node("Mul", self._constant("target_scale", scaling["target_scale"]))
            self._node("Add", self._constant("target_shift", scaling["target_shift"]))
            self._node("Cast", to=self._float, output="prediction")
            outputs = [helper.make_tensor_value_info("prediction", TensorProto.FLOAT, [n, width])]
        inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)]
        graph = helper.make_graph(self._nodes, "hpsearch", inputs, outputs, self._constants)
        made = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="hpsearch",
        )
        classes = ",".join(str(name) for name in model.facts["outputs"])
        helper.set_model_props(
            made,
            {
                "study": model.facts["study"],
                "trial": str(model.facts["trial"]),
                "outputs": classes,
            },
        )
        checker.check_model(made)
        data: bytes = made.SerializeToString()
        return data

    def _node(self, operator: str, *more: str, output: str | None = None, **facts: Any) -> None:
        from onnx import helper

        name = output or f"{operator.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, [self._last, *more], [name], **facts))
        self._last = name

    def _constant(self, name: str, array: NDArray[Any]) -> str:
        from onnx import numpy_helper

        unique = f"{name}_{len(self._constants)}"
        # np.array keeps a number a number; ascontiguousarray would make it a list of one
        self._constants.append(numpy_helper.from_array(np.array(array, order="C"), unique))
        return unique

    def _weight(self, name: str) -> str:
        return self._constant(name, self._model.weights[name].astype(np.float32))

    def _activate(self, kind: str) -> None:
        if kind in _PLAIN:
            self._node(_PLAIN[kind])
        elif kind == "leaky_relu":
            self._node("LeakyRelu", alpha=0.01)
        else:  # gelu, exactly: x / 2 * (1 + erf(x / sqrt 2))
            x = self._last
            self._node("Mul", self._constant("scale", np.array(1 / math.sqrt(2), np.float32)))
            self._node("Erf")
            self._node("Add", self._constant("one", np.array(1, np.float32)))
            self._node("Mul", x)
            self._node("Mul", self._constant("half", np.array(0.5, np.float32)))

    def _recur(self, layer: Cells) -> None:
        if not self._is_sequence:
            shape = np.array([0, -1, n_features(self._model.weights)], np.int64)
            self._node("Reshape", self._constant("steps", shape))
            self._node("Transpose", perm=[1, 0, 2])
            self._is_sequence = True
        weights = self._model.weights
        kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        w, r, b_w, b_r = (
            self._gates(weights[f"rnn.{kind}{layer.suffix}"], layer.cell) for kind in kinds
        )
        facts: dict[str, Any] = {"hidden_size": int(r.shape[1])}
        if layer.cell == "gru":
            facts["linear_before_reset"] = 1  # as torch.nn.GRU has it
        if layer.cell == "vanilla":
            facts["activations"] = [layer.activation.capitalize()]
        self._node(
            _OPERATORS[layer.cell],
            self._constant("w", w[None]),
            self._constant("r", r[None]),
            self._constant("b", np.concatenate((b_w, b_r))[None]),
            **facts,
        )
        self._node("Squeeze", self._constant("axis", np.array([1], np.int64)))

    @staticmethod
    def _gates(array: NDArray[Any], cell: str) -> NDArray[np.float32]:
        order = _GATES[cell]
        blocks = np.split(array.astype(np.float32), len(order))
        return np.concatenate([blocks[gate] for gate in order])
