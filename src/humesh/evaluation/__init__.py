"""What numbers mean: metrics and matching as the benchmarks define them."""
