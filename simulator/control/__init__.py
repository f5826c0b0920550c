"""The control API: make changes and faults, and inspect what clients sent."""
