"""A simulated Salesforce org: OAuth, SOAP login, Streaming and Pub/Sub API, REST, a control API.

The simulator is written from the protocol and shares no code with any client, so that a client
tested against it cannot confirm its own mistakes. `org`, `avro`, and in part `auth`, `rest` and
`streaming`, are pure: no sockets, and time is passed in as epoch milliseconds. `server`,
`auth.logins`, `streaming.cometd`, `rest.endpoint` and `control` serve them over HTTP with aiohttp;
`pubsub` serves the same org over gRPC.
"""
