"""What a Prometheus server reads: ``GET /metrics``, the counts of ``/stats`` in its format."""
