"""Egress: how captions reach subscribers."""
