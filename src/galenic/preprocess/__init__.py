"""Decode, resize, cut and normalise: one implementation for training, sessions and device. numpy and Pillow."""
