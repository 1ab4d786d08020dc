"""Cards as recipes begin them: what the list of models says of each."""

from __future__ import annotations

from models import catalogue
from models.cards import Card


def drafted(number: int, scale: str) -> Card:
    """The card of a model of the list, trained at that scale; what it gives and how, its recipe says."""
    item = catalogue.item(number)
    return Card(name=f"{item.name}-{scale}", version="1", number=number, paper=item.paper, roles=item.roles, outputs=())
