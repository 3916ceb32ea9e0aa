"""Batched layers, one a file; the leading axis of every tensor is lanes."""
