"""Builders of signed models: keys, certificate chains, bundles, and a Sigstore instance."""
