"""A node's GPU facts, kept by the cluster: what outlives an agent."""
