"""The Avro schemas of the org's change events. Pure."""
