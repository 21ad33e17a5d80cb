"""Reading and searching the kernel's own file systems, which differ from others."""

from __future__ import annotations

import os

#: Enough for nearly every setting, and for a list of all other ports: 32,768 numbers with their commas.
_SYSCTL_SIZES = (1 << 12, 1 << 18)
#: The longest thing that may not have fitted: a range with its comma.
_SYSCTL_ITEM = 12


def read_at_once(path: str) -> bytes:
    """A file that gives everything to the first read, and what did not fit into the buffer to none."""
    content = b""
    for size in _SYSCTL_SIZES:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            content = os.read(descriptor, size)
        finally:
            os.close(descriptor)
        if len(content) + _SYSCTL_ITEM <= size:
            break
    return content


def find_directory(top: str, inode: int) -> str | None:
    """The directory below `top` with this inode number, nearest first; None where there is none.

    Raises the first `OSError` met where it was not found and a directory could not be searched.
    """
    failure: OSError | None = None
    level = [top]
    while level:
        below: list[str] = []
        for directory in level:
            try:
                # Two links, from above and from itself: nothing is below. (Some file systems do not count.)
                if os.stat(directory).st_nlink == 2:
                    continue
                with os.scandir(directory) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            if entry.inode() == inode:
                                return entry.path
                            below.append(entry.path)
            except FileNotFoundError:
                continue  # removed since it was listed
            except OSError as error:
                failure = failure or error
        level = below
    if failure is not None:
        raise failure
    return None
