"""The Pub/Sub API: gRPC and Avro. What imports `grpc` is imported where a listener needs it only:
a worker's process forks, and gRPC does not outlive that."""
