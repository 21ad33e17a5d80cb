"""The answers: frozen values without any access to the operating system."""
