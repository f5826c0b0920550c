"""The API for handler authors: decorator, event, outcomes, registry and REST client."""
