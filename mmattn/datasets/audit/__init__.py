"""Look at every file of a user's copy of a data set, and tell what is wrong with it."""
