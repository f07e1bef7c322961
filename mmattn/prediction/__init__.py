"""Predictions of a trained model, on pictures and videos."""
