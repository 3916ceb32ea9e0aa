"""The examples of the OpenAPI description: definitions that work, and what comes back."""

from typing import Any

CLASSIC = """\
name: mnist-random
dataset: {name: mnist, validation_fraction: 0.08333, normalize: none}
model:
  family: mlp
  hidden_layers: {low: 1, high: 2}
  hidden_units: {choices: [128, 256]}
  init: normal
  init_scale: 1.0
optimizer:
  name: sgd
  learning_rate: {low: 1e-6, high: 1, log: true}
  momentum: {low: 0.5, high: 0.999, log: true}
  l2: {low: 1e-4, high: 1, log: true}
training: {epochs: 20, batch_size: 50, early_stopping: {metric: val_loss, patience: 1}}
objectives: [{metric: val_accuracy}]
sampler: {name: random}
limits: {max_trials: 10}
"""

BRANCHES: dict[str, Any] = {
    "name": "digits-optimizers",
    "dataset": {"name": "digits"},
    "model": {
        "family": "mlp",
        "hidden_layers": {"low": 1, "high": 2},
        "hidden_units": {"low": 16, "high": 128, "log": True},
    },
    "optimizer": {
        "choices": [
            {
                "name": "sgd",
                "learning_rate": {"low": 1e-3, "high": 1, "log": True},
                "momentum": {"low": 0, "high": 0.99},
            },
            {"name": "adam", "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}},
        ]
    },
    "training": {"epochs": 15, "early_stopping": {"patience": 3}},
    "limits": {"max_trials": 20},
}

SEEDS: dict[str, Any] = {
    "name": "noise",
    "dataset": {"name": "mnist"},
    "model": {"family": "mlp", "hidden_units": [500, 300]},
    "optimizer": {"name": "sgd", "learning_rate": 2e-3, "momentum": 0.98, "l2": 1e-3},
    "training": {"epochs": 20, "batch_size": 100, "data_order": "per_trial"},
    "sampler": {"name": "random"},
    "limits": {"max_trials": 10},
}

_DEFINITION_SCHEMA = {
    "type": "object",
    "description": "a study definition; GET /v1/schema has every field",
    "required": ["name", "dataset", "model", "optimizer"],
}

DEFINITION_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/yaml": {
                "schema": _DEFINITION_SCHEMA,
                "examples": {
                    "classic": {"summary": "the classic random search", "value": CLASSIC}
                },
            },
            "application/json": {
                "schema": _DEFINITION_SCHEMA,
                "examples": {
                    "branches": {
                        "summary": "each optimizer with its own ranges",
                        "value": BRANCHES,
                    },
                    "seeds": {"summary": "one setting, ten seeds", "value": SEEDS},
                },
            },
        },
    }
}

TRIAL_IN_LIST: dict[str, Any] = {
    "number": 7,
    "state": "COMPLETE",
    "origin": "sampled",
    "params": {
        "model.hidden_layers": 1,
        "model.hidden_units[0]": 256,
        "optimizer.learning_rate": 0.02,
    },
    "values": {"val_accuracy": 0.972},
    "test": {"loss": 0.101, "accuracy": 0.969},
    "epochs": 14,
    "best_epoch": 13,
    "stopped_early": True,
    "n_parameters": 203530,
    "device_seconds": 8.31,
    "failure": None,
    "pruned": None,
    "created_at": "2026-03-01T09:30:02.104512Z",
    "started_at": "2026-03-01T09:30:02.104512Z",
    "finished_at": "2026-03-01T09:30:12.840061Z",
}

TRIAL: dict[str, Any] = {
    **TRIAL_IN_LIST,
    "config": {
        "model": {"family": "mlp", "hidden_units": [256], "activation": "relu"},
        "optimizer": {"name": "sgd", "learning_rate": 0.02, "momentum": 0.9},
        "training": {"epochs": 20, "batch_size": 50},
    },
    "attempts": [
        {
            "number": 1,
            "state": "SUCCEEDED",
            "worker": "node1-cpu-0",
            "device": "cpu",
            "precision": "exact",
            "started_at": "2026-03-01T09:30:02.104512Z",
            "finished_at": "2026-03-01T09:30:12.840061Z",
            "device_seconds": 8.31,
        }
    ],
    "confusion": {"classes": ["cat", "dog"], "examples": [[48, 2], [1, 49]]},
}

STUDY: dict[str, Any] = {
    "name": "digits-optimizers",
    "state": "ACTIVE",
    "state_reason": None,
    "definition": BRANCHES,
    "description": "",
    "tags": [],
    "counts": {"waiting": 0, "running": 2, "complete": 8, "pruned": 0, "fail": 0},
    "best_trials": [TRIAL_IN_LIST],
    "progress": {"finished": 8, "max_trials": 20, "fraction": 0.4, "eta_s": 31.5},
    "usage": {
        "device_seconds": 20.4,
        "completed": 16.9,
        "pruned": 0.0,
        "failed": 0.0,
        "lost": 0.0,
        "running": 3.5,
        "saved": 5.2,
    },
    "warnings": [],
    "owner": "admin",
    "weight": 1.0,
    "created_at": "2026-03-01T09:30:01.000120Z",
    "updated_at": "2026-03-01T09:30:21.482113Z",
    "finished_at": None,
    "preflight": {
        "device": "cpu",
        "device_seconds": 0.24,
        "finished_at": "2026-03-01T09:30:02.004512Z",
        "findings": [
            {
                "check": "initial_loss",
                "severity": "ok",
                "message": "untrained networks start at a loss of 2.82, about that of guessing",
                "measured": 2.816,
                "expected": "about log(10) = 2.30; at most 4.8",
            }
        ],
    },
}

VALIDATION: dict[str, Any] = {"definition": SEEDS, "size": 1, "warnings": []}

EPOCHS: dict[str, Any] = {
    "epochs": [
        {"epoch": 1, "train_loss": 0.71, "val_loss": 0.42, "val_accuracy": 0.881},
        {
            "epoch": 2,
            "train_loss": None,
            "val_loss": None,
            "val_accuracy": 0.098,
            "nonfinite": {"train_loss": "nan", "val_loss": "inf"},
        },
    ],
    "next_page_token": None,
}

DATASET: dict[str, Any] = {
    "name": "housing",
    "source": "upload",
    "task": "regression",
    "input_shape": [4],
    "n_outputs": 1,
    "outputs": ["price"],
    "n_examples": 442,
    "has_test_split": False,
    "description": "uploaded",
    "columns": [
        {"name": "rooms", "kind": "number"},
        {"name": "area", "kind": "number"},
        {"name": "city", "kind": "category", "values": ["Oslo", "Rome"]},
        {"name": "price", "kind": "target"},
    ],
    "warnings": [],
    "media_type": "text/csv",
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "n_bytes": 18211,
    "owner": "admin",
    "created_at": "2026-03-01T09:12:44.310022Z",
    "used_by": [],
}

DATASET_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "text/csv": {
                "schema": {"type": "string"},
                "example": "rooms,area,city,price\n3,78.5,Oslo,412\n2,51,Rome,287\n4,99,Oslo,54\n",
            },
            "application/x-npz": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}

PROBLEM: dict[str, Any] = {
    "type": "/problems/definition-invalid",
    "title": "The study definition is invalid",
    "status": 422,
    "detail": "optimizer.learning_rate (line 9): low must be below high",
    "instance": "/v1/studies",
    "errors": [
        {
            "loc": ["optimizer", "learning_rate"],
            "msg": "low must be below high",
            "input": {"low": 1, "high": 1e-6, "log": True},
            "line": 9,
        }
    ],
}
