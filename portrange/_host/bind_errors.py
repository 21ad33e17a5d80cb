"""How systems say that a port cannot be bound, by what it means.

The numbers beside the names are Winsock's, for answers that come from Windows and are read elsewhere: there, Python's
own names stand for them already (but WSAEACCES is EACCES).
"""

from __future__ import annotations

import errno

_ABSENT_NAMES = ("EAFNOSUPPORT", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT")

#: The machine does not have this family or transport; not every system knows every name.
ABSENT = frozenset({10043, 10044, 10047, *(getattr(errno, name) for name in _ABSENT_NAMES if hasattr(errno, name))})
#: The caller may not have the port.
REFUSED = frozenset({errno.EACCES, errno.EPERM, 10013})
#: Somebody has the port; or, if any port would do, all of them are taken.
IN_USE = frozenset({errno.EADDRINUSE, 10048})
#: No address of this machine. Said of the address that stands for all of a family: the machine has no such family.
NOT_LOCAL = frozenset({errno.EADDRNOTAVAIL, 10049})
#: The address cannot be bound, whatever the port: it is not local, or lacks the network interface it needs.
UNUSABLE = NOT_LOCAL | {errno.EINVAL, errno.ENODEV, 10022}
