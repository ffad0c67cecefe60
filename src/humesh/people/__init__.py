"""Finding and tracking people: pretrained networks, one runtime for all, and the fusion of their predictions."""
