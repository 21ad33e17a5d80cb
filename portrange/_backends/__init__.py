"""One backend per operating system, all with the interface in `base`."""
