"""Signs of GPUs that are held but not used, or used for mining. Flags, never kills."""
