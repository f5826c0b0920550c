"""Check connections and channels for an operator who waits for the answer."""
