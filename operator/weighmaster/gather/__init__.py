"""Gathering evidence about model references: the only network I/O about models.

``service.Gatherer`` is what a controller uses; the rest of the package is how it does it. The HTTP
client in it also downloads what is staged.
"""
