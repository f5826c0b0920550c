"""Benchmarks, run with `make bench`: the whole system on real servers, beside others' figures."""
