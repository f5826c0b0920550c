"""Send recorded changes to their handlers again."""
