"""Live sessions: the engine contract and its supervision."""
