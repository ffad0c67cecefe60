"""Other runtimes' networks to ONNX, while the wheel is built: no part of humesh, and nothing of it is installed."""
