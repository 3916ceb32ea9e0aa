"""Checks of a study before its first trial: data, first weights, gradients, a small fit."""
