"""The old place of what is in networks.py now; removed when nobody imports it."""

from humesh.people.networks import NETWORKS, MissingNetworkError, missing_networks, network

__all__ = ["NETWORKS", "MissingNetworkError", "missing_networks", "network"]
