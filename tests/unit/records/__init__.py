"""Unit tests of records."""
