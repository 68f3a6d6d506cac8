"""All that an adapter may import besides the public modules."""
