"""Results in the forms other programs read: tables, event files, models."""
