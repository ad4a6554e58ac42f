"""Ingest: WebRTC publishers, from the WHIP request to PCM chunks."""
