"""The console's first page: is everything all right?

reader → facts (a fixed number of queries) → verdict, charts and tables (pure) → templates
"""
