"""Thin wrappers around the kernel, systemd and the event loop; no policy."""
