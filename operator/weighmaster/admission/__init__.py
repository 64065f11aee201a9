"""Admission at the edge: AdmissionReviews over HTTPS, into the pipeline and back."""
