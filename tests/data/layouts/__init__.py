"""Formats of others: read, written, and read again."""
