"""Render plain values as text and HTML; the output depends on the input alone."""
