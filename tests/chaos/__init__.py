"""Tests of the product under random faults and under a long steady load: `make chaos` and `make
soak`."""
