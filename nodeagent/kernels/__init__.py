"""What the students' servers say of their kernels: started alike, drifted, or not aligned."""
