"""Test servers that speak the engines' protocols and answer what they were sent."""
