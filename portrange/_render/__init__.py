"""Render plain values as text, HTML and SVG; the output depends on the input alone."""
