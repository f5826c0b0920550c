"""The pages of mirrors: the list, a mirror's page with its runs and differences, and the form."""
