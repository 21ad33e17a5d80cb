"""Copies of the packages listed in `vendor.txt`."""
