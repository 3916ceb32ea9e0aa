"""A hyperparameter search service: studies over REST, trials trained many at a time."""
