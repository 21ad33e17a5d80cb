"""The one seam to the operating system: everything that is read, listed, run or bound goes through a `Host`."""

from .host import Host

__all__ = ["Host"]
