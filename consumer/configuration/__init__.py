"""Apply the YAML configuration file: parse → desired state → plan → apply (`apply.apply_file`)."""
