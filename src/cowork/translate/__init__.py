"""Guest paths to host paths and back, command lines, environments: pure functions."""
