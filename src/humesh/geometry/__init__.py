"""Rotations, cameras, boxes and alignment: pure functions of tensors with any leading dimensions."""
