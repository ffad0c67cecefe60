"""What `tools/fuzz.py` is made of: mutations of files, the readers that get them, and the processes that read."""
