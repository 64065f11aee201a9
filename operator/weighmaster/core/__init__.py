"""The pure core: values in, values out.

Nothing in here reads a clock, the environment, a file or the network, and nothing imports kopf or
a Kubernetes client; import-linter enforces it. Whatever a step needs arrives as an argument.
"""
