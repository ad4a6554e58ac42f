"""The local engine: Moonshine models in worker processes."""
