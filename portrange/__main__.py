"""The command line: `python -m portrange`, and the `portrange` command."""

from __future__ import annotations

import sys

from . import __version__
from ._cli import run


def main() -> int:
    """Run the command line of this process; return the exit status."""
    return run(sys.argv[1:], version=__version__)


if __name__ == "__main__":
    sys.exit(main())
