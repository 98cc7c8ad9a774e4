"""Entry of the ``cowork`` command and of ``python -m cowork``: the one place that prints errors and exits."""

from __future__ import annotations

import sys

from cowork.errors import CoworkError


def main() -> int:
    """Run the command line; the exit status."""
    arguments = sys.argv[1:]
    try:
        # Launchers of other daemons pass flags and no verb. The daemon does without click, which would double
        # the time until it answers.
        if arguments[:1] == ["serve"] or (arguments and arguments[0].lstrip("-").partition("=")[0] in _LEGACY):
            from cowork.cli import serve

            return serve.main(arguments[1:] if arguments[0] == "serve" else arguments)
        from cowork.cli.main import cli

        return cli(arguments)
    except CoworkError as e:
        sys.stderr.write(f"cowork: {e.message}\n")
        if e.hint:
            sys.stderr.write(f"  hint: {e.hint}\n")
        return e.exit_status
    except OSError as e:
        # A full disk, a folder of another user's: the system's business, which a traceback would not explain.
        about = f"{e.filename}: " if e.filename is not None else ""
        sys.stderr.write(f"cowork: {about}{e.strerror or e}\n")
        return 1
    except KeyboardInterrupt:
        return 130


_LEGACY = ("socket", "debug", "backend", "bundles-dir", "log-full-lines", "log-max-len")

if __name__ == "__main__":
    sys.exit(main())
