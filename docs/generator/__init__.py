"""Generate the parts of the manual that come from the code, and check the site.

    python -m docs.generator            update stale parts in docs/
    python -m docs.generator --check    write nothing; exit 1 and name stale pages

For development only. `make docs` builds the site.
"""
