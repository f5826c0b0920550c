"""The app of the model that benchmarks of mirrors load."""
