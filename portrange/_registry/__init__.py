"""What is published about port numbers: IANA's registry, default pools, and lists of refused ports. No I/O."""
