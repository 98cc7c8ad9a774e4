"""For those who write a backend: the conformance suite that ours pass, too."""
