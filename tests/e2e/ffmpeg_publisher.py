"""
FFmpeg's own WHIP client, through PyAV: ``python ffmpeg_publisher.py FILE URL FOLDER``.

A process of its own, because FFmpeg's writes block. The certificate in FOLDER is P-256:
FFmpeg's GnuTLS builds make themselves one that OpenSSL refuses.
"""

from __future__ import annotations

import datetime
import sys
import time
from pathlib import Path

import av
from av.audio.stream import AudioStream
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

TAIL = 1.5
"""Seconds of silence after the file."""


def make_certificate(folder: Path) -> dict[str, str]:
    """Write a self-signed P-256 certificate; return FFmpeg's options for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "publisher")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    return {"cert_file": str(cert_file), "key_file": str(key_file)}


def publish(file: Path, url: str, folder: Path) -> None:
    """Publish a file in real time."""
    resampler = av.AudioResampler(
        format="s16", layout="stereo", rate=48_000, frame_size=960
    )
    with (
        av.open(str(file)) as source,
        av.open(url, "w", format="whip", options=make_certificate(folder)) as sink,
    ):
        stream = sink.add_stream("libopus", rate=48_000)
        assert isinstance(stream, AudioStream)
        stream.layout = "stereo"
        began: float | None = None
        sent = 0.0
        frames = (
            out for frame in source.decode(audio=0) for out in resampler.resample(frame)
        )
        for frame in frames:
            for packet in stream.encode(frame):
                sink.mux(packet)
                if began is None:
                    began = time.monotonic()
            sent += frame.samples / 48_000
            if began is not None:
                time.sleep(max(0.0, began + sent - time.monotonic()))
        silence = av.AudioFrame(format="s16", layout="stereo", samples=960)
        silence.planes[0].update(bytes(silence.planes[0].buffer_size))
        silence.sample_rate = 48_000
        for _ in range(round(TAIL * 50)):
            silence.pts = round(sent * 48_000)
            for packet in stream.encode(silence):
                sink.mux(packet)
            sent += 0.02
            assert began is not None
            time.sleep(max(0.0, began + sent - time.monotonic()))


if __name__ == "__main__":
    publish(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
