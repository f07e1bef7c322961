"""What a trained model did to an image, looked at and drawn."""
