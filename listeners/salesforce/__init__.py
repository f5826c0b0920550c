"""The wire: what Salesforce says and what it is told. Free of Django and of the product."""
