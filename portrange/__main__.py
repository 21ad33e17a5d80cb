"""`python -m portrange`: the questions in a terminal."""

import sys

from . import __version__, _cli


def main() -> int:
    """Answer the command line that this program was started with."""
    return _cli.main(sys.argv[1:], version=__version__)


if __name__ == "__main__":
    sys.exit(main())
