"""The operator's console: the admin pages, the listener designer and the home page."""
