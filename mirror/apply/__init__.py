"""Writes events and records that were read to the mirrored tables, guarded by versions."""
