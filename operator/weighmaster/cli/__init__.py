"""The command line: ``weighmaster`` and ``kubectl weighmaster``."""
