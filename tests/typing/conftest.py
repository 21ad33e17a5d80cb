"""`public.py` is for type checkers only; pytest must not import it, not even to collect doctests."""

collect_ignore = ["public.py"]
