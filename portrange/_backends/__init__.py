"""One backend an operating system, all behind the interface in `base`."""
