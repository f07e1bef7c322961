"""Published weights: find, download, read safely, rename, load with an account."""
