"""The home page: the health of the system at a glance.

reader → facts (a fixed number of queries) → health summary, charts and tables (pure) → templates
"""
