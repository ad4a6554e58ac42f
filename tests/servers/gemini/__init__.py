"""
A Gemini Live service for tests: TLS on 127.0.0.1, the real protocol, known speech.

It answers with the words whose audio it was sent, so what a client loses or sends twice
is missing or doubled in the text. It never waits for the wall clock to hear: audio may
come as fast as it likes, and the session's clock is the audio consumed::

    async with GeminiServer(Programme.packaged()) as server:
        client = genai.Client(
            api_key=API_KEY,
            http_options=HttpOptions(
                base_url=server.url,
                api_version="v1beta",
                async_client_args={"ssl": server.client_ssl, "proxy": None},
            ),
        )

Models: ``gemini-3.5-transcribe-live`` (transcribe), ``gemini-3.8-live`` (agent that
speaks), ``gemini-2.0-flash-live-001`` (agent that may answer in text).

- ``settings=Settings(session_limit=…, script=Script(…), …)``: what it is like.
- ``server.faults = Faults(…)``, ``server.fault_next(Faults(…), connections=2)``: what
  goes wrong, see :mod:`tests.servers.gemini.faults`.
- ``server.connections``: the open ones, with ``number``, ``seconds``, ``faults``,
  ``go_away(left)``, ``close(code, reason)``, ``abort()``, ``stop_reading()``,
  ``mute()``, ``send(…)``.
- ``server.log``: all that came and went, see :mod:`tests.servers.gemini.log`.
- ``await server.stop()`` and ``await server.start()``: an outage, on the same port.

As a process: ``python -m tests.servers.gemini --programme P.wav --words P.json …``, see
:mod:`tests.servers.gemini.process`.

Known from other people's reports or from memory only, not from the service itself: the
wording of the refusals, 1007 for what a profile doesn't take after setup, and that a
connection without a key is closed like one with a wrong key.

Left out: the sensitivities and the prefix of the activity detection (only the silence
counts), scheduling of function responses, the echo of the activity for agents, and the
models that translate.
"""

from tests.servers.gemini.connection import Connection
from tests.servers.gemini.faults import CANCELLED, DEADLINE, QUOTA, Faults
from tests.servers.gemini.log import Log, Record
from tests.servers.gemini.script import Script
from tests.servers.gemini.server import API_KEY, GeminiServer, Settings
from tests.servers.gemini.setup import MODELS, Model

__all__ = [
    "API_KEY",
    "CANCELLED",
    "DEADLINE",
    "MODELS",
    "QUOTA",
    "Connection",
    "Faults",
    "GeminiServer",
    "Log",
    "Model",
    "Record",
    "Script",
    "Settings",
]
