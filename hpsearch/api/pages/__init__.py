"""The pages of a browser, rendered on the server."""
