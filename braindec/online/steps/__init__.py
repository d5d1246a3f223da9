"""Steps of a live stream, one a file: chunk in, chunk out, with state carried over; none uses a later sample."""
