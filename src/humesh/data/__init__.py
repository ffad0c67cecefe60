"""Photos with labelled people: made by ourselves, or read from other people's datasets."""
