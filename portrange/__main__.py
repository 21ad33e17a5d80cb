"""The command line: `python -m portrange`, and the `portrange` command."""

from __future__ import annotations

import gc
import sys

from . import __version__
from ._cli import run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """Run the command line of this process and exit: the `__main__.py` that zipapp writes ignores return values."""
    gc.disable()  # the process ends soon, and thousands of results would be searched for cycles that they do not have
    sys.exit(run(sys.argv[1:], version=__version__))


if __name__ == "__main__":
    main()
