"""The calls of the REST API, one noun a file."""
