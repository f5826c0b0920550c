"""Check connections and channels while an operator waits for the result."""
