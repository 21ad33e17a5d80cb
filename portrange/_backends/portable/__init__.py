"""Sockets and processes through psutil, for the systems that have no backend of their own."""
