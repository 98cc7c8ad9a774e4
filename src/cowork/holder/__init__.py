"""The per-session process that owns a child's streams, and outlives the daemon. Standard library only."""
