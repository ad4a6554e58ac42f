"""
Turns: which audio each of the server's items is about.

No I/O. The audio sent since the last commit is the turn that is open; a commit closes
it, and its transcript comes later. Items are named by the server, in the order of the
commits, but it may speak of one before or long after that. Times are in seconds of
audio sent.
"""

from __future__ import annotations

import collections
import dataclasses

MAX_PENDING = 64
"""Turns whose transcript may be waited for; one more and the oldest is forgotten."""

MAX_AHEAD = 32
"""Turns of which on no audio should be sent before a transcript comes."""

MAX_ASKS = 64
"""Commits of ours that a server which ends turns itself may leave unanswered."""

MAX_CLOSED = 256
"""Items that are over and are remembered."""

ONSET_DELAY = 0.5
"""Seconds after which a server tells that speech began, if it doesn't say when."""

NOTHING = 0.15
"""A turn whose speech ends this soon after the turn before holds no more of it."""


@dataclasses.dataclass(slots=True, kw_only=True)
class Turn:
    """Audio that is, or becomes, one item."""

    number: int
    began: float
    """Where its audio begins."""

    start: float | None = None
    """Where speech begins in it; None if none was found."""

    end: float | None = None
    """Where that ends; None while it goes on."""

    guessed: bool = False
    """Whether the start is only about where the server was when it told."""

    stopped: bool = False
    """Whether the server ended it, because it heard speech end."""

    told_at: float = float("inf")
    """Monotonic time at which the server confirmed it."""

    item: str | None = None
    confirmed: bool = False
    """Whether the server told the item with a commit, or only spoke of it."""

    announced: bool = False
    """Whether the transcript knows of it."""

    text: str = ""
    """What the server said of it so far."""

    commit: str | None = None
    """Name of the commit of ours that ended it."""

    @property
    def key(self) -> str:
        """Name for the transcript."""
        return f"turn {self.number}"


class Turns:
    """
    The turns of one session.

    Args:
        by_server: Whether the server ends them; else each commit of ours does.
        loose: Whether an item that nobody has heard of is about the oldest turn.

    """

    def __init__(self, *, by_server: bool = False, loose: bool = False) -> None:
        self._by_server = by_server
        self._loose = loose
        self._pending: collections.deque[Turn] = collections.deque()
        self._closed: collections.deque[str] = collections.deque(maxlen=MAX_CLOSED)
        self._commits = 0
        self._asks: collections.deque[tuple[str, float]] = collections.deque(
            maxlen=MAX_ASKS
        )
        """Commits of ours that a server which ends turns itself hasn't answered, and
        where they were made."""
        self._speaking_since: float | None = None
        """Where the speech began that the local detector hears."""
        self._heard_until = 0.0
        """Where the last speech that the local detector heard ended."""
        self._ended_at = 0.0
        """Up to where utterances have been ended, by whomever."""
        self.sent = 0.0
        """Seconds of audio sent."""
        self.asked_at = 0.0
        """Where the last commit of ours was made."""
        self.open = Turn(number=0, began=0.0)

    @property
    def length(self) -> float:
        """Seconds of audio since the buffer began, as far as we know."""
        return self.sent - max(self.open.began, self.asked_at)

    @property
    def worth_it(self) -> bool:
        """Whether there is anything to transcribe in the buffer."""
        if self._speaking_since is not None or self.open.text:
            return True
        return self._heard_until > self._ended_at + NOTHING

    @property
    def overfull(self) -> bool:
        """Whether the server is so far behind that it should be waited for."""
        return len(self._pending) >= MAX_AHEAD

    @property
    def busy_for(self) -> float:
        """Seconds for which the utterance goes on that isn't ended; 0 in silence."""
        start = self._speaking_since if self._by_server else self.open.start
        if start is None and self.open.text:
            start = self.open.began
        return 0.0 if start is None else self.sent - max(start, self.asked_at)

    # What is sent

    def audio(self, seconds: float) -> None:
        """Note that audio was sent."""
        # Many tenths must add up: sums are compared with limits.
        self.sent = round(self.sent + seconds, 6)

    def speech_started(self, ago: float) -> None:
        """Note that the local detector heard speech begin."""
        self._speaking_since = self.sent - ago
        if not self._by_server:
            if self.open.start is None:
                self.open.start = max(self.sent - ago, self.open.began)
            self.open.end = None

    def speech_ended(self, ago: float) -> None:
        """Note that the local detector heard speech end."""
        self._speaking_since = None
        self._heard_until = self.sent - ago
        if self._by_server or self.open.start is None:
            return
        self.open.end = max(self._heard_until, self.open.start)
        if not self.worth_it:
            self.open.start = self.open.end = None

    def asked(self) -> str:
        """Note that the server is asked to end the open turn; name the commit."""
        self._commits += 1
        name = f"commit-{self._commits}"
        self.asked_at = self._ended_at = self.sent
        if self._by_server:
            self._asks.append((name, self.sent))
        else:
            self._close().commit = name
        return name

    def cleared(self, kept: float) -> None:
        """Note that the server forgot the buffer, but for some seconds at its end."""
        self.open.began = max(self.open.began, self.sent - kept)

    def refused(self, name: str) -> None:
        """Note that the server refused a commit: there will be no item."""
        for ask in [ask for ask in self._asks if ask[0] == name]:
            self._asks.remove(ask)
        for turn in [turn for turn in self._pending if turn.commit == name]:
            if not turn.confirmed:
                self._pending.remove(turn)

    # What the server says

    def server_started(self, offset: float | None) -> None:
        """Note that the server heard speech begin."""
        if self._by_server:
            start = self.sent - ONSET_DELAY if offset is None else offset
            self.open.guessed = offset is None
            self.open.start = max(start, self.open.began)

    def server_stopped(self, offset: float | None, silence: float) -> None:
        """Note that the server heard speech end, and a silence after it."""
        if not self._by_server:
            return
        self.open.stopped = True
        self._ended_at = max(
            self._ended_at, self.sent - silence if offset is None else offset
        )
        if offset is not None:
            self.open.end = max(offset - silence, self.open.start or 0.0)

    def committed(self, item: str, previous: str | None, now: float) -> Turn | None:
        """Return the turn that became an item; None if the item was known."""
        known = self._find(item)
        if item in self._closed or (known is not None and known.confirmed):
            return None
        turn = self._candidate(item, previous)
        if turn is None:
            # The server's own doing, or what it makes of a commit of ours.
            if not self.open.stopped and self._asks:
                self.open.end = self._asks.popleft()[1]
            turn = self._close()
        turn.item = item
        turn.confirmed = True
        turn.told_at = now
        return turn

    def spoken_of(self, item: str) -> Turn | None:
        """Return the turn that the server says something about before it is over."""
        if item in self._closed:
            return None
        turn = self._find(item) or self._unnamed() or self.open
        if turn.item != item:
            # What was said of another item was about audio that was cleared.
            turn.item, turn.text = item, ""
        return turn

    def is_closed(self, item: str) -> bool:
        """Whether everything was said about an item."""
        return item in self._closed

    def over(self, item: str) -> Turn | None:
        """Return the turn whose transcript came; None if there is none, any more."""
        if item in self._closed:
            return None
        turn = self._find(item)
        if turn is None or turn is self.open:
            turn = self._unnamed()
        if turn is None and self._loose and self._pending:
            turn = self._pending[0]
        if turn is None:
            return None
        self._closed.append(item)
        self._pending.remove(turn)
        return turn

    def up_to(self, turn: Turn) -> list[Turn]:
        """Return the turns without transcript up to this one, in order."""
        turns = [*self._pending, self.open]
        return [each for each in turns if each.number <= turn.number]

    def forget(self, before: float) -> int:
        """
        Wait no longer for transcripts of turns confirmed before a monotonic time.

        Returns:
            How many these were.

        """
        late = [turn for turn in self._pending if turn.told_at < before]
        for turn in late:
            self._drop(turn)
        return len(late)

    def _candidate(self, item: str, previous: str | None) -> Turn | None:
        """Return the turn that a commit is about, if it is one that we asked for."""
        waiting = [turn for turn in self._pending if not turn.confirmed]
        for turn in waiting:
            if turn.item == item:
                return turn
        pairs = zip(self._pending, list(self._pending)[1:], strict=False)
        for before, turn in pairs:
            if previous is not None and before.item == previous and turn in waiting:
                return turn
        return waiting[0] if waiting else None

    def _find(self, item: str) -> Turn | None:
        if self.open.item == item:
            return self.open
        return next((turn for turn in self._pending if turn.item == item), None)

    def _unnamed(self) -> Turn | None:
        return next((turn for turn in self._pending if turn.item is None), None)

    def _close(self) -> Turn:
        turn = self.open
        if turn.end is None and not self._by_server:
            turn.end = self.sent
        self._pending.append(turn)
        if len(self._pending) > MAX_PENDING:
            self._drop(self._pending[0])
        began = self.sent if turn.end is None or not self._by_server else turn.end
        self.open = Turn(number=turn.number + 1, began=began)
        if self._speaking_since is not None and not self._by_server:
            self.open.start = self.sent
        return turn

    def _drop(self, turn: Turn) -> None:
        self._pending.remove(turn)
        if turn.item is not None:
            self._closed.append(turn.item)
