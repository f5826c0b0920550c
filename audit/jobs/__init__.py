"""Background jobs: their claims, their progress, and the time they will take.

Reconciliations and redeliveries are claimed (`claim`): one process at a time runs such a job, and
another process continues it when the first one dies. Exports and pruning are only tracked
(`tracked`): an export ends with its process, and concurrent prunings do no harm.
"""
