"""What stands beside decoded pictures, films and captions: rows that swap one step of the decoder, and what is asked of it."""

from braindec.decoders.controls.rows import ALL, ControlRows, control_rows, inductive_finding, shuffle

__all__ = ["ALL", "ControlRows", "control_rows", "inductive_finding", "shuffle"]
