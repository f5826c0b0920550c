"""The Streaming API: Bayeux over HTTP, subscriptions and sessions."""
