"""Which jobs go where: what fits, whose turn it is, and what is left."""
