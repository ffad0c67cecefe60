"""Parts of networks that methods share: encoders, attention, heatmaps."""
