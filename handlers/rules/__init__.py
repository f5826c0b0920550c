"""What the fields of a mapping mean: conditions, ignored authors and field paths. Pure."""
