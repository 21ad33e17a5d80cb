"""Copies of other packages; `vendor.txt` says which."""
