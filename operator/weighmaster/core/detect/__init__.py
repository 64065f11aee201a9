"""Detection: from one Kubernetes object to the model uses in it."""
