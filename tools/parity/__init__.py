"""Comparisons of humesh's networks with arrays that the authors' networks made from made-up weights."""
