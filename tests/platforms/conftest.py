"""The files in this directory are programs started by `run_all.py`; pytest collects nothing here."""

collect_ignore_glob = ["*"]
