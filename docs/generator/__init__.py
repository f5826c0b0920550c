"""Write what the manual's pages take from the code, and make the site of them.

    python -m docs.generator            writes what is missing or stale of the former into docs/
    python -m docs.generator --check    writes nothing; exit 1 names what is missing or stale

For development only. `make docs` builds the site.
"""
