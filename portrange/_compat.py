"""Names that newer Pythons have in `typing`: the only module that knows of typing_extensions.

A vendored copy may lie where typing_extensions is not installed. Nothing is lost there but the
checks of a type checker, so plain stand-ins serve.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self, override
elif sys.version_info >= (3, 12):
    from typing import Self, override
else:
    try:
        from typing_extensions import Self, override
    except ImportError:
        from typing import Any as Self

        def override(method, /):  # noqa: ANN001, ANN202 - type checkers see the real one
            return method


__all__ = ["Self", "override"]
