"""Who may log in, by OAuth or SOAP, and the tokens that they get."""
