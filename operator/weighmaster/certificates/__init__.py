"""The webhook's serving certificate: issued and rotated by the controller, trusted beforehand.

A *generation* is a CA and the one certificate that it signs; its key is thrown away with that
signature. So a CA cannot be stolen, cannot outlive its certificate, and every rotation takes the
same way: stage a generation, have every webhook configuration trust it, then serve it, and only
long afterwards drop the trust in the one before (``plan``, pure). ``keeper`` does what is planned.
"""
