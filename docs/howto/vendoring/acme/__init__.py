"""Sample program with a vendored copy of portrange."""
