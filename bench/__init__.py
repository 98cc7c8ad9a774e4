"""Benchmark of the Cowork daemon: ``python -m bench`` from the root of the repository.

It starts the daemon as a user would, in private directories, and measures it from the outside over its
socket, beside a raw echo process (the *floor*: same client, same frames, no JSON) in the same run, so that
figures of one machine can be read as ratios. Other daemons that speak the protocol can be measured in the
same rounds with ``--daemon``. Sections about the sandbox and its proxy are measured on ours alone.

Units: MB is 1e6 bytes of what a child prints or reads (payload, not wire bytes); ms and us are wall-clock
time of the client unless the name says ``cpu``; CPU time is that of the daemon and its helpers together.
"""
