"""Sends external tasks, and settles tracked ones when their workers report their end."""
