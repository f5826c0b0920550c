"""The generated gRPC messages; `make stubs` compiles them from the .proto file."""
