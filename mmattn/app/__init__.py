"""A page in the browser that shows what a trained model makes of an image."""
