"""The composition root: knows every room, and the order in which they start and stop."""
