"""The conventions of all resources: authentication, fields, filters, pages, problems and ETags."""
