"""The YAML file: document → wanted → plan → apply. See `apply.apply_file`."""
