"""The public functions: each checks its arguments, queries the backend of the host, and returns a result."""
