"""Results: immutable values with their text, tables and pictures. No access to the operating system."""
