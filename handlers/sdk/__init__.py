"""What authors of handlers use: the change as they see it, outcomes, registry, REST client."""
