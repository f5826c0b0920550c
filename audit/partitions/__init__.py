"""The audit log in parts, one a month, on PostgreSQL, for who chose it: what is old goes with its
part, and not row by row.

A part holds what was committed in its month. Salesforce sends an event again with the time at which
it was committed, so that a repeated change comes to the part where it is already, and is refused
there. A part that is missing stops nothing: what belongs to no part is in the default one.
"""
