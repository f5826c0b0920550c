"""Clients of Salesforce's APIs: logins, REST, CometD and Pub/Sub. Imports neither Django nor other
packages of the product."""
