"""Outcomes: what verifying containers have found becomes evidence, events and metrics.

    pods with the label ──> reports ──> entries of ModelRecords
                               └──────> events, metrics

The kubelet keeps what a container said last in its pod's status. A report is believed only if the
pod's spec has exactly the container that the webhook adds, so that nothing else could have said it.
"""
