"""Unit tests of cluster."""
