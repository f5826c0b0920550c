"""Pages of listeners: creating one, its state, starting and stopping it."""
