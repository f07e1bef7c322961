"""Run any model without data, on inputs guessed from its attributes, and note the shapes."""
