"""Crops, the common input of networks: a crop is a camera, and a group of crops an input."""
