"""The graph between Keras and C: tensors, a closed list of ops, and passes over them."""
