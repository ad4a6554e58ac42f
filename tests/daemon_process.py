"""The daemon as a child process, for benchmarks and end-to-end tests."""

from __future__ import annotations

from pathlib import Path

from captiond.cli.child import Addresses, ChildError, DaemonProcess

__all__ = ["SPEECH_FOLDER", "Addresses", "ChildError", "DaemonProcess"]

SPEECH_FOLDER = Path(__file__).resolve().parents[2] / "shared" / "speech"
"""More speech with verified transcripts; lies beside the project, or doesn't."""
