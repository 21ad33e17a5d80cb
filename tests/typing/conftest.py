"""`public.py` is for type checkers: running it, even to look for doctests, would be a mistake."""

collect_ignore = ["public.py"]
