"""What would merge, before anything is switched on."""
