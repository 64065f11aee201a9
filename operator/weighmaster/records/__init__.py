"""Keeping ModelRecords: which there are, what is gathered for them, and what they say."""
