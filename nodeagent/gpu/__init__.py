"""GPUs of the node, read through NVML in a child process."""
