"""
Words and their alignment: which recognised word stands for which spoken one.

No I/O. The alignment is the one that word error rate is defined by (fewest
substitutions, insertions and deletions), with ties broken towards the earliest words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_JOINERS = re.compile(r"[-\u2010-\u2015/]")
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u02bc", "'"))
_NOT_A_WORD = re.compile(r"[^\w\s']")


def tokens(text: str) -> list[str]:
    """Return the words: lower case, no punctuation but apostrophes, hyphens split."""
    text = _JOINERS.sub(" ", text.lower().translate(_APOSTROPHES))
    words = (word.strip("'_") for word in _NOT_A_WORD.sub("", text).split())
    return [word for word in words if word]


def align(
    hypothesis: Sequence[str], reference: Sequence[str], *, prefix: bool = False
) -> list[tuple[int, int]]:
    """
    Pair words of the hypothesis with words of the reference, as indices.

    A pair's words are equal, or one was taken for the other; inserted and missing
    words are in no pair.

    Args:
        hypothesis: Recognised words.
        reference: Spoken words.
        prefix: The hypothesis covers only the beginning of the reference, as an
            interim does: reference words after it don't count as missing.

    """
    costs = _costs(hypothesis, reference)
    row = len(hypothesis)
    last = costs[row]
    column = last.index(min(last)) if prefix else len(reference)
    pairs: list[tuple[int, int]] = []
    while row and column:
        substitution = hypothesis[row - 1] != reference[column - 1]
        if costs[row][column] == costs[row - 1][column - 1] + substitution:
            row, column = row - 1, column - 1
            pairs.append((row, column))
        elif costs[row][column] == costs[row][column - 1] + 1:
            column -= 1
        else:
            row -= 1
    return pairs[::-1]


def _costs(hypothesis: Sequence[str], reference: Sequence[str]) -> list[list[int]]:
    rows = [list(range(len(reference) + 1))]
    for index, word in enumerate(hypothesis):
        above = rows[-1]
        row = [index + 1]
        for column, spoken in enumerate(reference):
            row.append(
                min(
                    above[column] + (word != spoken),
                    above[column + 1] + 1,
                    row[column] + 1,
                )
            )
        rows.append(row)
    return rows
