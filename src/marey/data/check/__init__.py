"""Data looked at before a GPU is touched: every file opened, every rule held against the manifest."""

from marey.data.check.check import Check, check_data, check_folder, read, rows_by_file
from marey.data.check.kinds import KINDS, Finding, Kind
from marey.data.check.quarantine import quarantine
from marey.data.check.table import format_check

__all__ = [
    "KINDS",
    "Check",
    "Finding",
    "Kind",
    "check_data",
    "check_folder",
    "format_check",
    "quarantine",
    "read",
    "rows_by_file",
]
