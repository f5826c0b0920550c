"""The control API: make changes and faults, and look at what clients sent."""
