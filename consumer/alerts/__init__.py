"""Send incidents by e-mail and to a webhook."""
