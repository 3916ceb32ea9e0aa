"""The process around a turn: RQ worker, warm trainer child, device choice, shutdown."""
