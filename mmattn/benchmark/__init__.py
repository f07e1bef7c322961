"""Peers measured beside our modules, backbones, models, training steps and loaders, in turn."""
