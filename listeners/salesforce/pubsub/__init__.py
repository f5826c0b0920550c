"""The Pub/Sub API over gRPC and Avro.

Modules that import `grpc` are imported only where a listener needs them: worker processes fork, and
gRPC does not survive a fork.
"""

import os

# gRPC reads these variables on import. Connection errors are reported by this package, and gRPC's
# tracer `api` would print the access token of every call.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
if os.environ.get("GRPC_TRACE"):
    os.environ["GRPC_TRACE"] += ",-api"
