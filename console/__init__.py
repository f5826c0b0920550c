"""Everything an operator sees: the admin pages, the designer and the first page."""
