"""
Utterances: what the service says of them, told one after the other, with times.

No I/O. One item is what the service says about one utterance; the first that has no
final yet is the one that is open.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence

from captiond.engines.remote.items import Item, Offsets, ServiceWord
from captiond.engines.remote.repeats import LastFinal, similar, starts_anew, words
from captiond.engines.remote.segments import EDGE, Segments
from captiond.engines.remote.sent import SentAudio
from captiond.engines.remote.service_activity import ServiceActivity
from captiond.events import MediaTime, Word
from captiond.live.session import Hypothesis

LATENESS = 1.0
"""How far behind the audio sent a service without times is taken to be."""

ONSET = 0.5
"""Seconds before its first word that speech without any time is taken to begin."""

CURRENT = ""
"""Key of the open utterance, for services that name none."""

MAX_CLOSED = 256
"""Keys of utterances that ended which are remembered."""

MAX_ITEMS = 64
"""Items that may wait for one before; the first is ended when there are more."""


class Utterances:
    """
    Orders what is said about utterances, and gives it ids and times.

    Args:
        sent: The audio sent.
        segments: The speech that was found in it; finals answer it here.

    """

    def __init__(self, sent: SentAudio, segments: Segments) -> None:
        self._sent = sent
        self._segments = segments
        self._items: dict[str, Item] = {}
        self._closed: collections.deque[str] = collections.deque(maxlen=MAX_CLOSED)
        self.activity = ServiceActivity(sent)
        self._last = LastFinal()
        self._count = 0
        self.last_end = MediaTime(float("-inf"))
        """End of the last final: nothing later starts before it."""
        self.settled = MediaTime(float("-inf"))
        """Audio before this has been given up."""
        self.repeats = 0
        """Texts left out because they had been told."""

    @property
    def head(self) -> Item | None:
        """The one that is open."""
        return next(iter(self._items.values()), None)

    def waits(self, *, until: MediaTime) -> bool:
        """Whether one that was heard of by ``until`` has no final."""
        return any(item.began <= until for item in self._items.values())

    def announce(self, key: str, now: float) -> list[Hypothesis]:
        """The service names an utterance."""
        if key not in self._closed and self._sent.seconds:
            self._item(key, now)
        return self._overflow(now)

    def mark(self, key: str, when: float) -> None:
        """The service says that an utterance has ended, or was asked to end it."""
        item = self._items.get(key) if key != CURRENT else self.head
        if item is not None and item.marked is None:
            item.marked = when
            item.ended = True

    def hurry(self, when: float) -> None:
        """Wait for no final from later than a monotonic time on."""
        for item in self._items.values():
            if item.marked is not None:
                item.marked = min(item.marked, when)

    def mark_all(self, when: float) -> None:
        """The service was asked to end whatever is open."""
        for key in self._items:
            self.mark(key, when)

    def interim(
        self,
        text: str,
        now: float,
        *,
        key: str,
        offsets: Offsets | None,
        language: str | None,
    ) -> list[Hypothesis]:
        """The service believes a text, all of it, of one that goes on."""
        new = self._new(text.strip(), key, None)
        if not new:
            return []
        told = self._end_if_another(text, key, now)
        item = self._item(key, now)
        grows = bool(item.text) and new.startswith(item.text)
        self._take(item, text.strip(), new, offsets, language)
        item.marked = None
        if grows and item is self.head:
            self._segments.skip_to_open(now)
        told += [self._interim(item, now)] if item is self.head else []
        item.active = now
        item.covers = self._sent.end
        return told + self._overflow(now)

    def final(
        self,
        text: str,
        now: float,
        *,
        key: str,
        offsets: Offsets | None,
        language: str | None,
        words: Sequence[ServiceWord],
    ) -> list[Hypothesis]:
        """The service won't say anything else of one; no text withdraws it."""
        new = self._new(text.strip(), key, offsets)
        if not new and (text.strip() or key not in self._items):
            return []
        item = self._item(key, now)
        self._take(item, text.strip(), new, offsets, language)
        item.words = words if new == text.strip() else ()
        item.final = True
        return self._finals(now)

    def promote(self, now: float) -> list[Hypothesis]:
        """End the one that is open with what was said last."""
        head = self.head
        if head is None:
            return []
        del self._items[head.key]
        return self._final(head, now, promoted=True) + self._next(now)

    # What was said before

    def _new(self, text: str, key: str, offsets: Offsets | None) -> str:
        """Return what of a text is new; nothing if it was told before."""
        if not text or not self._sent.seconds:
            return ""
        if key in self._closed:
            self.repeats += 1
            return ""
        if key != CURRENT:
            return text
        item = self._items.get(CURRENT)
        new = self._new_of_current(text, item, offsets)
        self.repeats += not new
        return new

    def _new_of_current(
        self, text: str, item: Item | None, offsets: Offsets | None
    ) -> str:
        if item is not None and item.stripped:
            return self._last.rest_of(text)
        end = None if offsets is None else offsets.end
        if end is not None and self._sent.may_be(end):
            if self._sent.media(end) > self.last_end + EDGE:
                return text
            if similar(words(text), self._last.words):
                return ""
        awaited = self._segments.awaited
        return self._last.new_in(
            text,
            interim=item.text if item is not None else "",
            fresh=self._segments.fresh,
            ended=awaited is not None and awaited.end is not None,
        )

    def _end_if_another(self, text: str, key: str, now: float) -> list[Hypothesis]:
        """End the open utterance if an interim is about the next: its final is lost."""
        item = self.head
        if item is None or not item.key == key == CURRENT:
            return []
        if not starts_anew(item.raw, text):
            return []
        segment = self._segments.oldest
        ended = segment is not None and segment.end is not None
        if not (item.ended or ended):
            return []
        del self._items[CURRENT]
        return self._final(item, now, promoted=True)

    def _take(
        self,
        item: Item,
        text: str,
        new: str,
        offsets: Offsets | None,
        language: str | None,
    ) -> None:
        item.raw, item.text = text, new
        item.stripped = item.stripped or new != text
        item.offsets = offsets or item.offsets
        item.language = language or item.language

    # In order

    def _item(self, key: str, now: float) -> Item:
        item = self._items.get(key)
        if item is None:
            position = self._sent.end
            item = self._items[key] = Item(
                key=key,
                began=position,
                active=now,
                covers=MediaTime(position - LATENESS),
                first_since=now,
                activity=self.activity.of_text(after=self.last_end),
            )
            if item.activity is not None and item is self.head:
                self._segments.skip_until(item.activity.start)
        return item

    def _overflow(self, now: float) -> list[Hypothesis]:
        return self.promote(now) if len(self._items) > MAX_ITEMS else []

    def _finals(self, now: float) -> list[Hypothesis]:
        told: list[Hypothesis] = []
        while (head := self.head) is not None and head.final:
            del self._items[head.key]
            told += self._final(head, now, promoted=False)
        return told + self._next(now)

    def _next(self, now: float) -> list[Hypothesis]:
        """Tell what is known of the one that is open now."""
        head = self.head
        if head is None:
            return []
        if head.final:
            return self._finals(now)
        head.first_since = now
        return [self._interim(head, now)] if head.text and not head.utterance else []

    # With times

    def _interim(self, item: Item, now: float) -> Hypothesis:
        end = self._given_end(item)
        if item.start is None:
            item.start = self._clamped(self._start(item), self._sent.end)
        if not item.utterance:
            item.utterance = self._name()
        return self._hypothesis(
            item,
            start=item.start,
            end=self._clamped(item.covers if end is None else end, self._sent.end),
            heard=None if end is None else self._sent.sent_at(end),
            now=now,
        )

    def _final(self, item: Item, now: float, *, promoted: bool) -> list[Hypothesis]:
        start, end, known = self._span(item)
        if known is not None:
            self._segments.answer_until(known)
        else:
            self._segments.answer_oldest(end)
        if item.key != CURRENT:
            self._closed.append(item.key)
        if not item.text and not item.utterance:
            return []
        if not item.utterance:
            item.utterance = self._name()
        item.final = True
        self.last_end = end
        if item.text:
            self._last.told(item.raw, promoted=promoted)
        heard = self._sent.sent_at(end)
        return [self._hypothesis(item, start=start, end=end, heard=heard, now=now)]

    def _span(self, item: Item) -> tuple[MediaTime, MediaTime, MediaTime | None]:
        """Return start and end of a final, and the end again if the service said it."""
        known = self._given_end(item)
        if known is None and item.activity is not None:
            known = item.activity.end
            if known is not None:
                known = max(self._segments.end_before(known), item.activity.start)
        segment = self._segments.oldest
        if known is not None:
            end = known
        elif segment is not None and segment.end is not None:
            end = segment.end
        else:
            end = item.covers
        start = self._clamped(self._start(item), self._sent.end)
        end = max(start, self._clamped(end, self._sent.end))
        self.activity.answer_until(end)
        return start, end, known

    def _start(self, item: Item) -> MediaTime:
        offset = item.offsets.start
        if (
            offset is not None
            and self._sent.may_be(offset)
            and self._given_end(item) is not None
        ):
            return self._sent.media(offset)
        if item.start is not None:
            return item.start
        if item.activity is not None:
            return item.activity.start
        segment = self._segments.oldest
        if segment is not None:
            return segment.start
        return MediaTime(self._sent.end - ONSET)

    def _given_end(self, item: Item) -> MediaTime | None:
        """Return the end that the service gave, if it can be true."""
        offset = item.offsets.end
        if offset is None or not self._sent.may_be(offset):
            return None
        end = self._sent.media(offset)
        return end if end > self.last_end else None

    def _clamped(self, time: MediaTime, most: MediaTime) -> MediaTime:
        """Return a time no earlier than may be told, and never after the audio sent."""
        return MediaTime(min(max(time, self.last_end, self.settled), most))

    def _name(self) -> str:
        self._count += 1
        return f"u{self._count}"

    def _hypothesis(
        self,
        item: Item,
        *,
        start: MediaTime,
        end: MediaTime,
        heard: float | None,
        now: float,
    ) -> Hypothesis:
        return Hypothesis(
            utterance=item.utterance,
            final=item.final,
            start=start,
            end=MediaTime(max(start, end)),
            text=item.text,
            words=self._words(item, start) if item.final else (),
            language=item.language,
            heard=heard,
            produced=now,
        )

    def _words(self, item: Item, start: MediaTime) -> tuple[Word, ...]:
        told: list[Word] = []
        at = start
        for word in item.words:
            if not (self._sent.may_be(word.start) and self._sent.may_be(word.end)):
                continue
            begin = MediaTime(max(at, self._sent.media(word.start)))
            at = MediaTime(max(begin, self._sent.media(word.end)))
            told.append(
                Word(text=word.text, start=begin, end=at, confidence=word.confidence)
            )
        return tuple(told)
