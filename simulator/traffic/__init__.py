"""Realistic traffic: what the org's users write, at a rate."""
