"""The demo's large categories and the book ids that carry their category within them, so that a server needs no table."""

from __future__ import annotations

import base64
import hashlib

# In order of size in every demo catalogue: with K classes the first K are the K largest.
CATEGORIES = (
    "Fiction",
    "Juvenile Fiction",
    "Religion",
    "History",
    "Biography & Autobiography",
    "Business & Economics",
    "Computers",
    "Social Science",
    "Juvenile Nonfiction",
    "Science",
    "Body, Mind & Spirit",
    "Health & Fitness",
    "Cooking",
    "Travel",
    "Poetry",
    "Sports & Recreation",
    "Education",
    "Family & Relationships",
    "Political Science",
    "Crafts & Hobbies",
    "Philosophy",
    "Comics & Graphic Novels",
    "Literary Criticism",
    "Art",
)
# What an id outside the large categories says: a book of the long tail, or one without any category.
NO_CATEGORY = ""

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_SUFFIX = "AJ"
_LENGTH = 12


def book_id(number: int, category: str, seed: int) -> str:
    """A 12-character id in the manner of Google Books; `category` may be NO_CATEGORY."""
    digest = hashlib.blake2b(f"{seed}/{number}".encode(), digest_size=6).digest()
    code = CATEGORIES.index(category) if category else len(CATEGORIES)
    return base64.urlsafe_b64encode(digest).decode() + _ALPHABET[code // 64] + _ALPHABET[code % 64] + _SUFFIX


def category_of(book_id: str) -> str:
    """The large category that an id was made for, or NO_CATEGORY.

    Raises:
        KeyError: the text is no id of the demo.
    """
    if len(book_id) != _LENGTH or not book_id.endswith(_SUFFIX) or not set(book_id) <= set(_ALPHABET):
        raise KeyError(book_id)
    code = 64 * _ALPHABET.index(book_id[8]) + _ALPHABET.index(book_id[9])
    if code > len(CATEGORIES):
        raise KeyError(book_id)
    return (*CATEGORIES, NO_CATEGORY)[code]
