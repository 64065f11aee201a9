"""Certificates: issued, trusted, rotated, served."""
