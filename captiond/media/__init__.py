"""Media: packets to chunks on an exact clock. No I/O."""
