"""Cowork for Linux: one daemon and one command that hold, isolate and supervise Claude Code sessions."""

__version__ = "0.1.0"
