"""What leaves the program: pictures, films and files."""
