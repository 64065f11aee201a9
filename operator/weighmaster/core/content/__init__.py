"""Readers of hostile bytes: headers, magic, cards, configurations, licences. Pure and bounded."""
