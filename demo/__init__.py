"""The whole product with a simulated Salesforce org, live: `make demo`."""
