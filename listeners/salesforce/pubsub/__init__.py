"""The Pub/Sub API: gRPC and Avro. What imports `grpc` is imported where a listener needs it only:
a worker's process forks, and gRPC does not outlive that."""

import os

# gRPC reads these when it is imported. What happens to a connection is told by our own errors; its
# tracer `api` would print every call's access token.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
if os.environ.get("GRPC_TRACE"):
    os.environ["GRPC_TRACE"] += ",-api"
