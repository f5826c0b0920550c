"""The org's Pub/Sub API: gRPC and Avro, the same events as on CometD. `--grpc-port P` turns it on.

Calls need the metadata `accesstoken`, `instanceurl` and `tenantid` (the announced `org_id`). An
event that Avro cannot hold, such as one without a header, is sent as bytes that no schema reads.
`hub` and `positions` need no gRPC.
"""
