r"""A natural logarithm that is the same to the last bit on every machine.

``numpy.log`` is computed by other code on other processors and may differ in the last bit; a log loss added
on one machine and taken out on another would leave a residue. This one uses additions, multiplications and
divisions alone, which IEEE 754 fixes. The polynomial is that of fdlibm's ``e_log.c`` (Sun Microsystems
1993); its error is below one unit in the last place.
"""

from __future__ import annotations

import numpy as np

from detectors.performance.spec import Floats

CLIPPED_AT = 2.0**-52
"""Probabilities nearer than that to 0 or 1 are moved to it in a log loss, as in scikit-learn since 1.3."""
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_ODD = (
    6.666666666666735130e-01,
    2.857142874366239149e-01,
    1.818357216161805012e-01,
    1.479819860511658591e-01,
)
_EVEN = (3.999999999940941908e-01, 2.222219843214978396e-01, 1.531383769920937332e-01)
_ROOT_HALF = 0.7071067811865476


def natural_log(values: Floats) -> Floats:
    """Return the logarithm of positive, finite, normal float64 ``values``.

    >>> natural_log(np.array([1.0, 0.5])).tolist()
    [0.0, -0.6931471805599453]
    """
    f, exponent = np.frexp(values)
    small = f < _ROOT_HALF
    np.multiply(f, 2.0, out=f, where=small)
    f -= 1.0
    k = np.subtract(exponent, small, dtype=np.float64)
    s = f / (f + 2.0)
    z = s * s
    w = z * z
    odd = _horner(w, _ODD)
    odd *= z
    tail = _horner(w, _EVEN)
    tail *= w
    tail += odd
    half_square = np.multiply(f, 0.5, out=z)
    half_square *= f
    tail += half_square
    tail *= s
    tail += np.multiply(k, _LN2_LOW, out=s)
    half_square -= tail
    half_square -= f
    k *= _LN2_HIGH
    k -= half_square
    return k


def _horner(at: Floats, coefficients: tuple[float, ...]) -> Floats:
    """Return a polynomial, lowest coefficient first. In place: new arrays would take longer than the sums."""
    total = at * coefficients[-1]
    for coefficient in coefficients[-2:0:-1]:
        total += coefficient
        total *= at
    total += coefficients[0]
    return total
