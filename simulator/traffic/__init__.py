"""Realistic traffic: changes that the org's users make, at a rate."""
