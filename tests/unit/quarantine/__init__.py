"""Unit tests of the sandbox as the controller keeps it."""
