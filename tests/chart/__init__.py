"""The Helm chart: rendered, checked, and installed into a real control plane."""
