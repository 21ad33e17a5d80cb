"""The date of the registry's snapshot: generated with the table, do not edit."""

REGISTRY_DATE = "2026-02-13"
