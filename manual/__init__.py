"""The manual: what its pages take from the code, and the site that is made of them.

    python -m manual            writes what is missing or stale of the former into docs/
    python -m manual --check    writes nothing; exit 1 names what is missing or stale

For development only. `make docs` builds the site.
"""
