"""The Streaming API over CometD: Bayeux messages and the long poll that carries them."""
