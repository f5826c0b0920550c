"""Parts of the settings, and their validation, by subject."""
