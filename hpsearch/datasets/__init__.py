"""Sources of examples, one a file, and the splits made of them."""
