"""Tests. A package, so that no `tests` of an installed distribution is imported in its place."""
