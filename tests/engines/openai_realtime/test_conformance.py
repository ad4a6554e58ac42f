"""The contract of live sessions, in each dialect and way to end utterances."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from captiond.live.engine import Engine
from tests.engines.conformance import EngineConformance
from tests.engines.openai_realtime.conftest import MODELS, started
from tests.servers.openai import OpenAiServer
from tests.servers.programme import Programme


class TestOpenAi(EngineConformance):
    """A model that transcribes continuously keeps the contract."""

    max_wer = 0.05

    @pytest.fixture
    async def engine(self, programme: Programme) -> AsyncIterator[Engine]:
        async with (
            OpenAiServer(programme, dialect="openai") as server,
            started(url=server.url) as engine,
        ):
            yield engine


class TestOpenAiTurns(EngineConformance):
    """A model whose service ends utterances keeps the contract."""

    max_wer = 0.05

    @pytest.fixture
    async def engine(self, programme: Programme) -> AsyncIterator[Engine]:
        async with (
            OpenAiServer(programme, dialect="openai") as server,
            started(url=server.url, model="gpt-4o-transcribe") as engine,
        ):
            yield engine


class TestOpenAiCommittedTurns(EngineConformance):
    """A model that hears what captiond commits keeps the contract."""

    max_wer = 0.05

    @pytest.fixture
    async def engine(self, programme: Programme) -> AsyncIterator[Engine]:
        async with (
            OpenAiServer(programme, dialect="openai") as server,
            started(
                url=server.url, model="gpt-transcribe", turn_detection="client"
            ) as engine,
        ):
            yield engine


class TestBeta(EngineConformance):
    """speaches keeps the contract."""

    max_wer = 0.05

    @pytest.fixture
    async def engine(self, programme: Programme) -> AsyncIterator[Engine]:
        async with (
            OpenAiServer(programme, dialect="openai-beta", key="") as server,
            started(
                url=server.url, dialect="openai-beta", model=MODELS["openai-beta"]
            ) as engine,
        ):
            yield engine


class TestBetaTurns(EngineConformance):
    """A server that ends utterances and names items as LocalAI does keeps it too."""

    max_wer = 0.05

    @pytest.fixture
    async def engine(self, programme: Programme) -> AsyncIterator[Engine]:
        async with (
            OpenAiServer(
                programme, dialect="openai-beta", key="", strange_items=True
            ) as server,
            started(
                url=server.url,
                dialect="openai-beta",
                model=MODELS["openai-beta"],
                turn_detection="server",
            ) as engine,
        ):
            yield engine


class TestVllm(EngineConformance):
    """vLLM keeps the contract."""

    max_wer = 0.05

    @pytest.fixture
    async def engine(self, programme: Programme) -> AsyncIterator[Engine]:
        async with (
            OpenAiServer(programme, dialect="vllm", key="") as server,
            started(url=server.url, dialect="vllm", model=MODELS["vllm"]) as engine,
        ):
            yield engine
