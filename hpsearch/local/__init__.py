"""The processes of a cluster on one machine: bundled Redis, API, workers."""
