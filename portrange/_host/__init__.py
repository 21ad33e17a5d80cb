"""Access to the operating system: everything that is read, listed, run or bound goes through a `System`."""
