"""Training: one loop for every method, and the recipes that it follows."""
