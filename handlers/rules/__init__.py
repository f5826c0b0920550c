"""The rules of a mapping's fields: conditions, ignored authors and field paths. Pure."""
