"""Locks that are held across fork(), so that a child process of a program with threads can use the library."""

from __future__ import annotations

import os
from _thread import RLock

#: Hold this around every import inside a function. A child process inherits the import locks of modules that another
#: thread was importing during fork(), and no thread of the child ever releases them (`_ModuleLock` in importlib).
#: This lock is held across fork(), so no lazy import of this package is in progress at that moment.
import_lock = RLock()

#: Hold this while a probe socket is bound, so that concurrent probes do not report each other. A child process would
#: inherit the probe socket and keep the port in use.
probe_lock = RLock()

# Registered here and not at the first use: a function that is registered while fork() calls the functions of `before`
# is called after the fork only. These are called in reverse order, and a thread may import during a probe.
if hasattr(os, "register_at_fork"):  # Unix only
    for _lock in (import_lock, probe_lock):
        os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)
