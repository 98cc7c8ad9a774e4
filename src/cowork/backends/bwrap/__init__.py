"""The bubblewrap backend: the process sees its mounts and little else of the host."""
