"""`python -m portrange`: the questions in a terminal."""

import sys

from ._cli import main

if __name__ == "__main__":
    sys.exit(main())
