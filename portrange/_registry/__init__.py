"""Published facts about port numbers: IANA's registry, default ranges, ports that browsers refuse. No I/O.

REGISTRY_DATE is generated together with the table by tests/registry/generate.py, do not edit.
"""

REGISTRY_DATE = "2026-02-13"
