"""Random changes, kills, faults and schema changes while objects are mirrored. In the end every row
must equal its record in the org, and no row may have gone back in between."""
