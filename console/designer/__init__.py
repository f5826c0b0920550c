"""The service designer: a listener's page draws what becomes of its changes, and each event
handler's page shows which of the last changes it would get.

facts (a fixed number of queries) → drawing (pure) → templates; routing → preview → templates
"""
