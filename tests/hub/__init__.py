"""Hubs and registries on loopback, for tests of gathering."""
