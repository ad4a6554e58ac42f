"""
Cue building: an engine's hypotheses to the cues that readers see.

Rule: each cue that had an interim ends in exactly one final. At most one cue is open.
"""

from __future__ import annotations

import dataclasses
import itertools

from captiond.captions.stabiliser import Stabiliser
from captiond.events import Caption, CueId, MediaTime, Word

ADOPTION_GAP = 0.5
"""Seconds between the end of a cue whose session was lost and the start of an
utterance that may continue it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """What an engine now believes of one utterance."""

    id: str
    final: bool
    start: MediaTime
    end: MediaTime
    text: str
    words: tuple[Word, ...] = ()
    language: str | None = None
    engine: str = ""


@dataclasses.dataclass(slots=True)
class _OpenCue:
    id: CueId
    utterance: str | None
    """None once its session was lost: the next utterance may continue it."""
    stabiliser: Stabiliser
    caption: Caption


class CueBuilder:
    """Builds one stream's cues."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._open: _OpenCue | None = None

    def update(self, utterance: Utterance) -> list[Caption]:
        """Return the captions that follow from a hypothesis."""
        captions = self._close_other(utterance)
        text = " ".join(utterance.text.split())
        if self._open is None and not text:
            return captions
        if utterance.final:
            return [*captions, self._finalise(utterance, text)]
        cue = self._open or self._new_cue(utterance)
        shown = cue.stabiliser.update(text)
        if cue.caption.text == shown.text and cue.caption.stable == shown.stable:
            return captions
        cue.caption = self._caption(
            cue, utterance, shown.text, stable=shown.stable, final=False
        )
        self._open = cue
        return [*captions, cue.caption]

    def session_lost(self) -> None:
        """Let the next session's first utterance continue the open cue."""
        if self._open is not None:
            self._open.utterance = None

    def settled(self, time: MediaTime) -> list[Caption]:
        """Close a cue whose session was lost when no utterance can continue it."""
        cue = self._open
        if cue is None or cue.utterance is not None:
            return []
        return self.finish() if time > cue.caption.end + ADOPTION_GAP else []

    def flushed(self) -> list[Caption]:
        """Close a cue whose session was lost: everything has been said."""
        if self._open is None or self._open.utterance is not None:
            return []
        return self.finish()

    def finish(self) -> list[Caption]:
        """Close the open cue with the words it shows: nobody will finish it."""
        if self._open is None:
            return []
        shown = self._open.caption
        self._open = None
        return [
            dataclasses.replace(
                shown, rev=shown.rev + 1, final=True, stable=len(shown.text)
            )
        ]

    def _close_other(self, utterance: Utterance) -> list[Caption]:
        cue = self._open
        if cue is None or cue.utterance == utterance.id:
            return []
        continues = utterance.start <= cue.caption.end + ADOPTION_GAP
        if cue.utterance is None and continues:
            cue.utterance = utterance.id
            return []
        return self.finish()

    def _finalise(self, utterance: Utterance, text: str) -> Caption:
        cue = self._open or self._new_cue(utterance)
        self._open = None
        return self._caption(cue, utterance, text, stable=len(text), final=True)

    def _new_cue(self, utterance: Utterance) -> _OpenCue:
        id_ = CueId(next(self._ids))
        nothing = Caption(
            cue=id_,
            rev=0,
            final=False,
            start=utterance.start,
            end=utterance.start,
            text="",
            stable=0,
        )
        return _OpenCue(id_, utterance.id, Stabiliser(), nothing)

    def _caption(
        self,
        cue: _OpenCue,
        utterance: Utterance,
        text: str,
        *,
        stable: int,
        final: bool,
    ) -> Caption:
        return Caption(
            cue=cue.id,
            rev=cue.caption.rev + 1,
            final=final,
            start=utterance.start,
            end=max(utterance.end, utterance.start),
            text=text,
            stable=stable,
            words=utterance.words,
            language=utterance.language,
            engine=utterance.engine,
        )
