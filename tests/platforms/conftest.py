"""Nothing here is for pytest: these are programs, started by `run_all.py`, each on another system."""

collect_ignore_glob = ["*"]
