"""HTTP to Salesforce: sessions, single requests, limits on answers, and where requests may go."""
