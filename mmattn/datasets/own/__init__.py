"""Look at a user's own folder of data, and write the config that reads it."""
