"""Changes, kills, faults and schema changes at random while objects are mirrored; then every row
must be what the org says, and no row may have gone back in between."""
