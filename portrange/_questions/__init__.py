"""The questions: each checks its arguments, asks the backend of the host, and gives an answer."""
