"""How every resource speaks: authentication, fields, filters, pages, problems and ETags."""
