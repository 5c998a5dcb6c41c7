"""Formats that read into the manifest: one short file each, all giving a `RawRows`."""
