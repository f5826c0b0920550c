"""The demo (`make demo`): every process of the product, with a simulated Salesforce org."""
