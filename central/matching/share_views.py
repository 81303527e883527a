"""How the shares stand, for people: what each community, group and owner is due, and what it has used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from central.configuration.settings import Community
from central.records import Consumed
from pilot.use import ShareView

#: Owners by group by community.
_Tree = Mapping[str, Mapping[str, Sequence[Consumed]]]


def standing(communities: Sequence[Community], consumed: Sequence[Consumed]) -> tuple[ShareView, ...]:
    """Everybody who has a share by the settings or has used something, parents before children.

    What a group is due is its part of its community's due, by the shares of the groups beside it; owners, who have no
    shares of their own, divide a group's due evenly among those that have used something.
    """
    shares = {community.name: community.share for community in communities}
    shares |= {one.community: 1.0 for one in consumed if one.community not in shares}
    configured = {community.name: {group.name: group.share for group in community.groups} for community in communities}
    tree = _tree(configured, consumed)
    every = sum(one.used for one in consumed)
    total = sum(shares.values())
    found: list[ShareView] = []
    for name in sorted(shares):
        mine = [one for owners in tree[name].values() for one in owners]
        due = shares[name] / total
        found.append(_view((name, "", ""), shares[name], due, mine, every))
        found += _groups(name, due, configured.get(name, {}), tree[name], every)
    return tuple(found)


def _tree(configured: Mapping[str, Mapping[str, float]], consumed: Sequence[Consumed]) -> _Tree:
    tree: dict[str, dict[str, list[Consumed]]] = {
        community: {group: [] for group in groups} for community, groups in configured.items()
    }
    for one in consumed:
        tree.setdefault(one.community, {}).setdefault(one.group, []).append(one)
    return tree


def _groups(
    community: str, due: float, shares: Mapping[str, float], groups: Mapping[str, Sequence[Consumed]], every: float
) -> Iterator[ShareView]:
    total = sum(shares.get(group, 1.0) for group in groups)
    for group in sorted(groups):
        share = shares.get(group, 1.0)
        owners = sorted(groups[group], key=lambda one: one.owner)
        group_due = due * share / total
        yield _view((community, group, ""), share, group_due, owners, every)
        for one in owners:
            yield _view((community, group, one.owner), 1.0, group_due / len(owners), [one], every)


def _view(who: tuple[str, str, str], share: float, due: float, consumed: Sequence[Consumed], every: float) -> ShareView:
    community, group, owner = who
    used = sum(one.used for one in consumed)
    cores = sum(one.cores for one in consumed)
    return ShareView(community, group, owner, share, due, used, used / every if every else 0.0, cores)
