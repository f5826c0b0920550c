"""The Streaming API over CometD: the Bayeux protocol and its long polls over HTTP."""
