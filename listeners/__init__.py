"""What comes in: connections, listeners, tokens and the Salesforce wire."""
