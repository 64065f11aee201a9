"""What the Helm chart takes from the code: rights, webhook configurations, values with schema.

``python -m weighmaster.chart`` writes these parts of ``charts/weighmaster`` and of the docs about
them, or checks that they are as the code says. The rest of the chart is written by hand.
"""
