"""What the modules of several rooms are built of: layers, checks of options, starts."""
