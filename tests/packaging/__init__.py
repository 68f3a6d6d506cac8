"""What is promised of the package as it is installed: its bounds, its extras, its metadata."""
