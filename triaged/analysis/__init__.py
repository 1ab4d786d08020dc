"""Complete study -> findings: gates, pipeline, worker."""
