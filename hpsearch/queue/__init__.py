"""The only room that knows RQ: doorbells, turns, JSON jobs."""
