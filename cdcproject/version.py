"""The product's version. Nothing else says it but pyproject.toml, for installers."""

__version__ = "0.1.0"
