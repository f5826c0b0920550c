"""HTTP to Salesforce: sessions, requests, limits on answers, and allowed destinations."""
