"""What commands do for a Kubernetes cluster."""
