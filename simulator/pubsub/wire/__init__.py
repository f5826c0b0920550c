"""What is spoken on the wire: `make stubs` compiles the .proto file."""
