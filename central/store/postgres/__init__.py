"""The store of several centrals: one PostgreSQL database, concurrent verbs that share commits.

Two transactions may meet anywhere, in one central or in two. So a verb decides only on rows that it has locked (FOR
[NO KEY] UPDATE, or FOR SHARE where it only counts on them), and every verb takes its locks in this order:

    leaders, pilots by id, jobs by id, their attempts, documents by id, hosts by (site, host), limits by name

It may leave out what it does not need, and never goes back, so transactions wait for each other and never in a circle.
What is taken without waiting (SKIP LOCKED: a claim takes waiting jobs so, retention old ones) may come at any place.
"""

from central.store.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
