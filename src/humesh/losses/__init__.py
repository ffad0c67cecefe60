"""Labels with their weights, unreduced error terms, and the one place that weighs them."""
