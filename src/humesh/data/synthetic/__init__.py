"""Synthetic people: scenes rendered by number, shards of them, and endless variations of what is in the shards."""
