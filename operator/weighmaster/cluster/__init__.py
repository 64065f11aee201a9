"""The Kubernetes API: a thin client, the reflector and the policy store it feeds."""
