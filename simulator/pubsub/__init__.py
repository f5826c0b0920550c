"""The org's Pub/Sub API: gRPC and Avro, the same events as on CometD. `--grpc-port P` turns it on.

The announcement tells `grpc_endpoint` (`http://localhost:PORT`, with `--tls-cert` `localhost:PORT`)
and `grpc_port`. Calls want the metadata `accesstoken`, `instanceurl` and `tenantid` (`org_id` of
the announcement). From a test, with `SimulatorProcess(grpc=True)`:

    org.fault("grpc_status", code="service.unavailable")      the next call, of whatever method
    org.fault("grpc_status", method="Subscribe", status="UNAVAILABLE", after_events=3)
                                         a stream, new or running, once it has delivered 3 events;
                                         after_events=0 is now. Without a code there is no
                                         `error-code` trailer: a routine RST_STREAM NO_ERROR
    org.fault("grpc_stall", seconds=5)   a stream says nothing for so long, no keep-alives either;
                                         keep_alives=True holds only the events back;
                                         org.clear_faults() ends it;
                                         method="GetSchema" is a late answer
    org.restart_pubsub(seconds=0)        every connection closed, and the port for so long
    org.fault("revoke_tokens")           running streams end with auth.error, as on org.advance()
    org.fault("age_out", forget=True)    stored replay ids are refused
    org.raw({...}, complete=True, avro_payload=BASE64, schema_id="…")
                                         an event with any bytes for a payload, of any schema id
    org.entity("Account", fields={"Score__c": "double"})
                                         a new version of the schema; writing an unknown field or a
                                         value that does not fit makes one too
    org.managed_subscription("Sales", "/data/ChangeEvents", replay="earliest")
                                         also `--managed-subscription Sales=/data/ChangeEvents`;
                                         state="stopped" and state="deleted" end its stream
    org.pubsub_calls()                   every call: method, metadata, peer, requests, outcome
    org.state()["pubsub"]                streams, credits, delivered events, committed positions

An event that Avro cannot hold, such as one without a header, goes out as bytes that no schema
reads; an unknown changeType gets a schema that has it. `hub`,
`positions` and `managed` need no gRPC; `payloads` needs fastavro.
`simulator.pubsub_codes` lists the error codes, and `simulator.org.avro` has the schemas.
"""
