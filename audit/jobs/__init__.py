"""Background jobs: who runs one, how far it is, and how long it will take.

A comparison with Salesforce and a redelivery are claimed (`claim`): one process at a time runs
them, and another goes on with them when that one dies. An export and a pruning are only tracked
(`tracked`): an export ends with its process, and several prunings at once do no harm.
"""
