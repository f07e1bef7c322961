"""The commands: one file for each, and the shell that runs them."""
