"""A package, because its tests share `fakes`."""
