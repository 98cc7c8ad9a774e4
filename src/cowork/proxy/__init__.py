"""The per-session network proxy: an allow-list of host names, kept outside the sandbox. Standard library only."""
