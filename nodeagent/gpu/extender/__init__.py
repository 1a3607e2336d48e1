"""kube-scheduler's extender: ranks nodes by what their GPUs are really doing. Prioritizes only."""
