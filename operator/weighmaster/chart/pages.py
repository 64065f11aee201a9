"""Tables of rights for ``docs/rbac.md``: every verb with its reason."""

from weighmaster.chart.grants import GRANTS, Grant, Named, Place, Role, When

_NAMES = {
    Named.SERVING_SECRET: "the serving certificate's only",
    Named.CONFIGURATION: "Weighmaster's own only",
    Named.LEASE: "`weighmaster-controller` only",
}

_CONDITIONS = {
    When.ISSUES: " Only with `certificates.source: builtin`.",
    When.TRUSTS: " Not with cert-manager, nor with a bundle of your own.",
}


def rights_table(role: Role) -> str:
    """The rights of a role, in Markdown."""
    rows = [_row(grant) for grant in GRANTS if grant.role is role]
    return "| what | where | verbs | why |\n|---|---|---|---|\n" + "".join(rows)


def _row(grant: Grant) -> str:
    what = ", ".join(f"`{resource}`" for resource in grant.resources)
    if grant.group:
        what += f" ({grant.group})"
    if grant.name:
        what += f", {_NAMES[grant.name]}"
    where = "cluster" if grant.place is Place.CLUSTER else "own namespace"
    condition = _CONDITIONS[grant.when] if grant.when else ""
    return f"| {what} | {where} | {', '.join(grant.verbs)} | {grant.reason}{condition} |\n"
