"""Finding people: the networks that see them, one runtime for all, and what their answers are put together to."""
