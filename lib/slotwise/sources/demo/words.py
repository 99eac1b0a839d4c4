"""Titles, names, descriptions and one-row categories for the demo catalogue, with the characters that break parsers."""

from __future__ import annotations

import random

from slotwise.sources.demo.categories import category_of

_TOPICS = {
    "Fiction": "Harbour Winter Stranger Lantern Silence Orchard",
    "Juvenile Fiction": "Dragon Puddle Rabbit Treehouse Moon Pirate",
    "Religion": "Grace Psalms Covenant Pilgrim Mercy Parish",
    "History": "Empire Siege Railway Treaty Frontier Battleship",
    "Biography & Autobiography": "Life Letters Captain Memoir Queen Doctor",
    "Business & Economics": "Market Strategy Capital Leadership Trade Growth",
    "Computers": "Networks Algorithms Compiler Data Kernel Protocol",
    "Social Science": "Society Power Gender Cities Migration Class",
    "Juvenile Nonfiction": "Dinosaurs Planets Volcanoes Insects Robots Oceans",
    "Science": "Quantum Cells Evolution Particles Glaciers Energy",
    "Body, Mind & Spirit": "Tarot Dreams Chakra Angels Healing Moonlight",
    "Health & Fitness": "Yoga Heart Nutrition Running Sleep Breath",
    "Cooking": "Sourdough Kitchen Soups Curry Harvest Dumplings",
    "Travel": "Europe Islands Roads Lisbon Himalaya Alaska",
    "Poetry": "Sonnets Wind Leaves Elegies Nightingale Verses",
}
_GENERAL = "Secrets Stories Voices Handbook World Garden Journey Questions Art Practice Memory Future"
_FIRST = "Anna Björn Chloé David Emilia François George Hannah Ines José Kerri Louis Marta Nena Olga Patrick Ruth Søren Tomás 明"
_LAST = "Allman Brontë Cooper D'Arcy Evans Fernández García Hill Iwana Jones Kane Laming Müller Nel O'Neill O'Flynn Ramsdell Smith Thomas 王"
_PLACES = "Norway Maine Kenya Bohemia Peru Scotland Québec Japan Ohio Sicily New-Zealand Córdoba"
_SENTENCES = (
    "This book follows {name} through {topic} and back again, with wit, patience and more than 90 illustrations.",
    "What the critics called \"{topic}\" is here nothing but an old question, asked anew.",
    "First published to wide acclaim, it remains the standard account of {topic}, {other} and their many enemies.",
    "\"A magical book\", as {name} was fond of saying.",
    "From the author’s own archive — letters, maps and photographs — comes a story that will leave you spellbound.",
    "Chapters cover: {topic}; {other}; recipes, tables, and a 20% longer index.",
    "* Easy to read * Fully updated * Includes {topic} & {other}",
    "It's the café on the corner, the crème brûlée, the naïve hope of {name}.",
    "Includes bibliographical references (p. [201]-214) and index.",
)
_PUBLISHERS = ("Derrydale Press", "OUP USA", "Mohr Siebeck", "John Wiley & Sons", "Éditions du Seuil", "Simon, Hart & Co.", "A&C Black", "\"Little\" Press, Inc.")
_TAIL = (
    "{last}, {first} (Fictitious character)",
    "{last}, {first}, -- {year}-{later}",
    "{place} -- History -- {year}",
    "{place} fiction, {year}",
    "{last}'s {topic} ({place})",
    "Authors, {place} ({year})",
)


def title_of(book_id: str) -> str:
    """The title of a demo book: the same in the catalogue and on its cover."""
    rng = random.Random(f"title/{book_id}")
    one, two = _topic(rng, category_of(book_id)), rng.choice(_GENERAL.split())
    pattern = rng.choices(
        ("{one}", "The {one}", "{one} and {two}", "{two} of {one}", "{one}: {two}, {last} and Me", "The \"{one}\" {two}", "{last}'s {one}", "{one}, {two}"),
        (2, 3, 3, 3, 2, 1, 1, 1),
    )[0]
    return pattern.format(one=one, two=two, last=rng.choice(_LAST.split()))


def author(rng: random.Random) -> str:
    return f"{rng.choice(_FIRST.split())} {rng.choice(_LAST.split())}"


def publisher(rng: random.Random) -> str:
    return rng.choice(_PUBLISHERS)


def description(rng: random.Random, category: str) -> str:
    """One to eight sentences with commas, quotes and multi-byte characters, never a line break: the real file has none."""
    sentences = (rng.choice(_SENTENCES) for _ in range(rng.choice((1, 2, 2, 3, 3, 4, 8))))
    return " ".join(text.format(name=author(rng), topic=_topic(rng, category), other=rng.choice(_GENERAL.split())) for text in sentences)


def tail_category(rng: random.Random) -> str:
    """A subject heading of the kind that occurs once in the whole file."""
    year = rng.randint(1500, 1940)
    return rng.choice(_TAIL).format(
        first=rng.choice(_FIRST.split()),
        last=rng.choice(_LAST.split()),
        place=rng.choice(_PLACES.split()).replace("-", " "),
        topic=rng.choice(_GENERAL.split()),
        year=year,
        later=year + rng.randint(20, 90),
    )


def _topic(rng: random.Random, category: str) -> str:
    return rng.choice(_TOPICS.get(category, _GENERAL).split())
