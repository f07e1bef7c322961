"""What is installed and what is wrong with it, by the standard library alone."""
