"""Pruners: thin plugins that stop trials losing against their siblings."""
