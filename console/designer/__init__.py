"""The designer: the flow on a listener's page, and the preview on a handler mapping's page.

facts (a fixed number of queries) → drawing (pure) → templates; routing → preview → templates
"""
