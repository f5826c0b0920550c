"""Local copies of Salesforce objects as Django models: load, keep in step, verify."""
