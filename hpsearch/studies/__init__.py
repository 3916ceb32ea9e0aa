"""The verbs, one a file; each is one transaction."""
