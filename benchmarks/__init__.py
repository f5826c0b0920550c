"""Benchmarks, run with `make bench`. Figures to compare side by side; they judge nothing."""
