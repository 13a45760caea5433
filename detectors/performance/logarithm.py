r"""A natural logarithm that is the same to the last bit on every machine.

``numpy.log`` is computed by other code on other processors and may differ in the last bit; a log loss added
on one machine and taken out on another would leave a residue. This one uses additions, multiplications and
divisions alone, which IEEE 754 fixes. The polynomial is that of fdlibm's ``e_log.c`` (Sun Microsystems
1993); its error is below one unit in the last place.
"""

from __future__ import annotations

import numpy as np

from detectors.performance.spec import Floats

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
    mantissa, exponent = np.frexp(values)
    small = mantissa < _ROOT_HALF
    f = np.where(small, mantissa + mantissa, mantissa) - 1.0
    k = (exponent - small).astype(np.float64)
    s = f / (f + 2.0)
    z = s * s
    w = z * z
    even = w * (_EVEN[0] + w * (_EVEN[1] + w * _EVEN[2]))
    odd = z * (_ODD[0] + w * (_ODD[1] + w * (_ODD[2] + w * _ODD[3])))
    half_square = 0.5 * f * f
    tail = s * (half_square + (even + odd)) + k * _LN2_LOW
    result: Floats = k * _LN2_HIGH - ((half_square - tail) - f)
    return result
