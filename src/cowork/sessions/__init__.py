"""Sessions as their clients see them: the directory on the disk, the spool's reader, the way to the holder."""
