"""Published weights: find, read safely, rename, load with an account."""
