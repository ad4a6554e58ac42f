"""``captiond talk``: lines to requests, and a conversation with a real channel."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_websocket
from yarl import URL

from captiond import cli
from captiond.cli.control_client import Talk, TalkError, channel
from captiond.cli.messages import MessageError, Received, Session
from captiond.cli.typed import chunks
from captiond.errors import NotSupported
from captiond.events import Status, StreamState
from captiond.live.session import (
    Interrupted,
    ModelText,
    Opened,
    TextPurpose,
    ToolCall,
    ToolResponse,
    TurnComplete,
    Unsupported,
)
from tests.egress.controlled import Served, serve
from tests.harness import until


class Conversation:
    """A talk with a served stream."""

    def __init__(self, *lines: str, person: bool = False, linger: float = 5.0) -> None:
        self._lines = lines
        self._person = person
        self._linger = linger
        self.messages: list[Received] = []
        self.told: list[str] = []
        self.hold = asyncio.Event()
        """Input ends once this is set."""
        self.hold.set()

    async def lines(self) -> AsyncIterator[str]:
        for line in self._lines:
            yield line
        await self.hold.wait()

    async def run(self, url: str) -> None:
        """Talk until it is over."""
        async with channel(URL(url)) as connection:
            await Talk(
                connection,
                linger=self._linger,
                show=self.messages.append,
                tell=self.told.append if self._person else None,
            ).run(self.lines())


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    """Serve the stream ``demo``."""
    async with serve() as found:
        yield found


async def answer(served: Served, question: str, text: str) -> None:
    """Let the session answer a question when it comes."""
    await until(lambda: (question, TextPurpose.QUESTION) in served.stream.asked)
    served.stream.tell(ModelText(text=text))
    served.stream.tell(TurnComplete())


async def test_pipe_ends_after_the_answer(served: Served) -> None:
    """The next question waits for the answer; other requests don't."""
    conversation = Conversation("one?", "/interrupt", "two?")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(conversation.run(served.session))
        await until(lambda: "interrupt" in served.stream.asked)
        before = list(served.stream.asked)
        await answer(served, "one?", "first")
        await answer(served, "two?", "second")

    assert before == [("one?", TextPurpose.QUESTION), "interrupt"]
    texts = [
        each.message.text("text")
        for each in conversation.messages
        if isinstance(each.message, Session) and each.message.event == "model_text"
    ]
    assert texts == ["first", "second"]


async def test_pipe_of_commands_ends_when_all_are_accepted(served: Served) -> None:
    """Nobody waits for a model that wasn't asked."""
    served.stream.answered.set()
    lines = [
        "/context a talk",
        "/words a, b",
        '/tool c {"x": 1}',
        "/engine g",
        "/flush",
    ]
    await Conversation(*lines).run(served.session)

    assert served.stream.asked == [
        ("a talk", TextPurpose.CONTEXT),
        ("a\nb", TextPurpose.VOCABULARY),
        ToolResponse(call="c", result={"x": 1}),
        "engine g",
        "flush",
    ]


async def test_pipe_fails_with_what_goes_wrong(served: Served) -> None:
    """What is refused, not answered or no command is an error."""
    served.stream.error = NotSupported("text", "scripted", ("gemini",))
    with pytest.raises(TalkError, match="text refused: the engine scripted lacks"):
        await Conversation("why?", "/flush").run(served.session)
    with pytest.raises(TalkError, match=r"no answer within 0\.01 s"):
        await Conversation("why?", linger=0.01).run(served.session)
    with pytest.raises(TalkError, match="/shout is no command"):
        await Conversation("/shout").run(served.session)


async def test_engine_that_cannot_is_told(served: Served) -> None:
    """A session that lacks what was asked for says so itself."""
    conversation = Conversation("why?")
    task = asyncio.create_task(conversation.run(served.session))
    await until(lambda: served.stream.asked)
    served.stream.tell(Unsupported(capability="text"))
    with pytest.raises(TalkError, match="the engine lacks 'text'"):
        await task


async def test_person_is_told_and_goes_on(served: Served) -> None:
    """In front of a person nothing waits, and nothing that goes wrong is the end."""
    served.stream.error = NotSupported("text", "scripted", ())
    conversation = Conversation("why?", "/shout", "", "/help", "one?", person=True)
    conversation.hold.clear()
    task = asyncio.create_task(conversation.run(served.session))
    await until(lambda: len(served.stream.asked) == 1)
    await answer(served, "one?", "first")
    conversation.hold.set()
    await task

    assert any("lacks 'text'" in each for each in conversation.told)
    assert any("/shout is no command" in each for each in conversation.told)
    assert any(each.startswith("/interrupt") for each in conversation.told)


async def test_quit_leaves_at_once(served: Served) -> None:
    """Nothing is waited for, and nothing after it is said."""
    await Conversation("why?", "/quit", "what?", linger=3600).run(served.session)

    assert served.stream.asked == [("why?", TextPurpose.QUESTION)]


async def end_of(served: Served, conversation: Conversation, asked: int) -> None:
    """Let the stream end in a conversation whose input goes on."""
    conversation.hold.clear()
    task = asyncio.create_task(conversation.run(served.session))
    await until(lambda: conversation.messages)
    await until(lambda: len(served.stream.asked) == asked)
    ended = Status(state=StreamState.ENDED, reason="test")
    served.hub.publish(served.channel, ended)
    await task


async def test_end_of_the_stream_ends_it(served: Served) -> None:
    """As ``watch`` does; but a question that is left open is an error."""
    await end_of(served, Conversation(), 0)
    with pytest.raises(TalkError, match="ended before the answer"):
        await end_of(served, Conversation("why?"), 1)


async def test_lost_connection_is_an_error() -> None:
    """The close code and reason are told."""
    async with contextlib.AsyncExitStack() as stack:
        served = await stack.enter_async_context(serve())
        conversation = Conversation()
        conversation.hold.clear()
        task = asyncio.create_task(conversation.run(served.session))
        await until(lambda: conversation.messages)
        await stack.aclose()
        with pytest.raises(TalkError, match="1001: captiond is stopping"):
            await task


async def test_what_can_not_be_opened_is_told(served: Served) -> None:
    """Refusals carry the problem's detail."""
    with pytest.raises(TalkError, match="refused with 404: no stream is called 'x'"):
        await Conversation().run(f"{served.url}/streams/x/session?wait=0")
    with pytest.raises(TalkError, match="can't connect"):
        await Conversation().run("ws://127.0.0.1:9/streams/x/session")


async def test_other_protocols_are_named() -> None:
    """What is no control channel is said so."""

    async def greet(connection: ServerConnection) -> None:
        await connection.send("hello?")
        await connection.wait_closed()

    async with serve_websocket(greet, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        with pytest.raises(MessageError, match="not a message of the caption stream"):
            await Conversation(linger=60).run(
                f"ws://127.0.0.1:{port}/streams/x/session"
            )


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["talk", "--help"], 0, "Examples:"),
        (["talk"], 2, "STREAM"),
        (["talk", "news", "--url", "http://h"], 2, "write ws://HOST:PORT"),
        (["talk", "news", "--linger", "-1"], 2, "--linger"),
    ],
)
def test_command_line(
    arguments: list[str], code: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A manual page, and errors as the other commands have them."""
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    output = capsys.readouterr()

    assert ended.value.code == code
    assert text in (output.err if code else output.out)


async def start(
    served: Served, *options: str, stdin: int
) -> asyncio.subprocess.Process:
    """Run the command in a process of its own."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "captiond",
        "talk",
        "demo",
        "--url",
        served.url,
        *options,
        stdin=stdin,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_command_talks_out_of_a_pipe(served: Served) -> None:
    """Question in, answer out, exit code 0."""
    process = await start(served, stdin=asyncio.subprocess.PIPE)
    async with asyncio.TaskGroup() as tasks:
        output = tasks.create_task(process.communicate(b"why?\n"))
        await answer(served, "why?", "because")

    out, err = output.result()
    assert (process.returncode, err) == (0, b"")
    assert "  model  because\n" in out.decode()


async def test_command_prints_messages_and_errors(served: Served) -> None:
    """``--json`` gives every message; what fails is one line and exit code 1."""
    served.stream.error = NotSupported("text", "scripted", ())
    process = await start(served, "--json", stdin=asyncio.subprocess.PIPE)
    out, err = await process.communicate(b"why?\n")

    kinds = [json.loads(line)["type"] for line in out.decode().splitlines()]
    assert kinds == ["hello", "unsupported"]
    assert process.returncode == 1
    assert err.decode().startswith("captiond: text refused: the engine scripted lacks")
    assert len(err.splitlines()) == 1


async def test_command_talks_on_a_terminal(served: Served) -> None:
    """What is typed is shown below the captions, sent, and the terminal given back."""
    ours, theirs = os.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "captiond", "talk", "demo", "--url", served.url),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm-256color"},
    )
    os.close(theirs)
    screen = ""

    async def read() -> None:
        nonlocal screen
        with contextlib.suppress(OSError):  # Linux says EIO when the other side closes
            async with contextlib.aclosing(chunks(ours)) as coming:
                async for data in coming:
                    screen += data.decode(errors="replace")

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(read())
        await until(lambda: served.stream.listeners)
        served.stream.tell(Opened(engine="scripted"))
        await until(lambda: "the engine is scripted" in screen)
        os.write(ours, b"wht\x7fy?")
        await until(lambda: "> why?" in screen)
        served.stream.tell(ToolCall(call="c1", name="look", arguments={}))
        os.write(ours, b"\r")
        await answer(served, "why?", "because")
        served.stream.tell(Interrupted())
        await until(lambda: "-- interrupted" in screen)
        os.write(ours, b"\x04")
        code = await process.wait()

    assert code == 0
    assert "tool call c1: look({})" in screen
    assert "because" in screen
