"""Samplers: thin plugins that propose points of a search space."""
