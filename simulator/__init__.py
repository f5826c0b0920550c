"""A Salesforce org on the wire: OAuth, SOAP login, Streaming and Pub/Sub API, REST, a control API.

The simulator stands alone. It is written from the protocol and shares no code with any client,
so that a client tested against it cannot confirm its own mistakes. `org`, `changes`, `events`,
`oauth`, `soap`, `soql` and `bayeux` are pure: no sockets, and time is passed in as epoch
milliseconds. `server`, `logins`, `cometd`, `rest` and `control` put them on HTTP with aiohttp;
`simulator.pubsub` is the same org over gRPC.
"""
