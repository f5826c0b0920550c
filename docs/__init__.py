"""The manual's pages, and the generator of what they take from the code."""
