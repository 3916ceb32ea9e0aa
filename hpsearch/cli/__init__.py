"""The hpsearch command."""
