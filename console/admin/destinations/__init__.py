"""The pages of destinations: the list, the form and the connection test."""
