"""The audit log: recording entries, masking their values, and how much came."""
