"""The lock around imports inside functions, which makes them safe in a program that forks."""

from __future__ import annotations

import os
from _thread import RLock

#: Hold this around every import inside a function. A child process inherits the import locks of modules that another
#: thread was importing during fork(), and no thread of the child ever releases them (`_ModuleLock` in importlib).
#: This lock is held across fork(), so no lazy import of this package is in progress at that moment.
import_lock = RLock()

if hasattr(os, "register_at_fork"):  # Unix only
    os.register_at_fork(
        before=import_lock.acquire, after_in_parent=import_lock.release, after_in_child=import_lock.release
    )
