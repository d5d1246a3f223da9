"""Networks of spiking and brain-like neurons: simulation and trainable layers."""
