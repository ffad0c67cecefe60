"""The page in the browser: files dropped on it become bodies to look at and to download."""
