"""Decide which mapping gets which change."""
