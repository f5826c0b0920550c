"""Access tokens: how they are obtained, renewed, and shared between processes."""
