"""What is decided: effects, state, flows. No input or output."""
