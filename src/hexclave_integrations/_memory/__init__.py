"""What is remembered: in this process, and in Redis for a whole fleet."""
