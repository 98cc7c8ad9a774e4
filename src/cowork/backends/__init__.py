"""Backends: how a spawn request becomes a held process, and what separates that process from the host."""
