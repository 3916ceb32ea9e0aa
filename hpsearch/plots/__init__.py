"""Figures of a study, as plain Plotly documents: one figure a file."""
