"""Other people's datasets, read in the form in which their owners give them away."""
