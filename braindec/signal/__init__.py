"""What happens to a signal before a model: steps, windows, transforms fitted on training rows."""
