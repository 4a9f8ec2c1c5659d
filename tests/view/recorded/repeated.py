"""SQLAlchemy's lazy loading, which asks once for each row, and the two ways of asking once for all."""

from __future__ import annotations

from sqlalchemy import ForeignKey, create_engine, insert, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, selectinload
from sqlalchemy.pool import StaticPool


class Base(DeclarativeBase):
    """All tables."""


class Basket(Base):
    """Has items."""

    __tablename__ = "baskets"
    id: Mapped[int] = mapped_column(primary_key=True)
    items: Mapped[list[Item]] = relationship()


class Item(Base):
    """Lies in a basket."""

    __tablename__ = "items"
    id: Mapped[int] = mapped_column(primary_key=True)
    basket_id: Mapped[int] = mapped_column(ForeignKey("baskets.id"))


engine = create_engine("sqlite://", poolclass=StaticPool)
Base.metadata.create_all(engine)


def main(_: str) -> None:
    """Do it all."""
    with Session(engine) as session:
        fill(session)
        lazily(session)
        session.expunge_all()
        at_once(session)
        by_pages(session)


def fill(session: Session) -> None:
    """Make twelve baskets, and two items for each, in two statements."""
    session.execute(insert(Basket), [{"id": number} for number in range(12)])
    session.execute(insert(Item), [{"id": number, "basket_id": number // 2} for number in range(24)])


def lazily(session: Session) -> None:
    """Count the items of each basket."""
    sum(len(basket.items) for basket in session.scalars(select(Basket)))


def at_once(session: Session) -> None:
    """Count them with one query for all."""
    sum(len(basket.items) for basket in session.scalars(select(Basket).options(selectinload(Basket.items))))


def by_pages(session: Session) -> None:
    """Read four at a time."""
    for start in range(0, 24, 4):
        session.scalars(select(Item).order_by(Item.id).limit(4).offset(start)).all()
