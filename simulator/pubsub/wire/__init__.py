"""The code generated from the .proto file by `make stubs`."""
