"""The product's version: this line is the only one that says it."""

__version__ = "0.1.0"
