"""A program that carries portrange with it."""
