"""The pages of connections: the list, the form and the connection test."""
