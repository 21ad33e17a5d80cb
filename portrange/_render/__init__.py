"""How answers look: from plain values to text, HTML and SVG; the same input gives the same output."""
