"""The command line. Only here is anything printed."""
