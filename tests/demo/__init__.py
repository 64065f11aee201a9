"""The demo: the main job on a laptop, without a cluster."""
