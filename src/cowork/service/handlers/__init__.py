"""What the methods do, one file per family; each has a table ``HANDLERS`` of its own."""
