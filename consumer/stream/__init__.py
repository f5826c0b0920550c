"""The two threads of a listener: one receives change events, the other records them."""
