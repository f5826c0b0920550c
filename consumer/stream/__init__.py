"""The two threads of a listener: one receives, one records."""
