"""What Hexclave is asked, and what its replies mean. Pure."""
