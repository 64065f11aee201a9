"""Kubernetes quantities, such as ``500m`` and ``16Gi`` (apimachinery, pkg/api/resource)."""

import re
from fractions import Fraction

_FORM = re.compile(
    r"([+-]?)([0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})"
    r"(?:([numkMGTPE]|[KMGTPE]i)|[eE]([+-]?[0-9]{1,2}))?"
)
_DECIMAL = {suffix: Fraction(10) ** (3 * power) for power, suffix in enumerate("num_kMGTPE", -3)}
_BINARY = {f"{suffix}i": Fraction(1024) ** power for power, suffix in enumerate("KMGTPE", 1)}
_FACTORS = {**_DECIMAL, **_BINARY}


def parse_quantity(value: object) -> Fraction | None:
    """The amount that a quantity stands for, None if it is none. YAML may have it as a number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    match = _FORM.fullmatch(str(value)[:80])
    if match is None:
        return None
    sign, digits, suffix, exponent = match.groups()
    amount = Fraction(digits if digits[-1] != "." else digits[:-1])
    if suffix:
        amount *= _FACTORS[suffix]
    elif exponent:
        amount *= Fraction(10) ** int(exponent)
    return -amount if sign == "-" else amount
