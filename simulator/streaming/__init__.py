"""The Streaming API: Bayeux over HTTP, channels, subscriptions and sessions."""
