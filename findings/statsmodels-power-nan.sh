#!/usr/bin/env bash
# statsmodels 0.15.0 on SciPy 1.17.1: the power of a clear effect is NaN, and so is the number of pairs that it needs.
#
# Guess before the run: `TTestPower().power(effect_size=2, nobs=20, alpha=0.05)` is 1.0 to many digits, and rises with the
# number of pairs; `solve_power` finds between two and three pairs for an effect of seven deviations.
# Seen: 0.9998 with 10 pairs, NaN with 20, 1.0 with 40, without a warning. `solve_power` gives NaN for effects of 6 and 7
# deviations, with a warning that it did not converge. The lower tail of SciPy's noncentral t distribution, which is added for
# the two-sided test, is below 1e-30 there and comes out as NaN; pingouin 0.7.0, on the same SciPy, gives the numbers.
# For us: experiments/study/statistics.py leaves that tail out where it is NaN (tests/verdict/test_answer.py); docs/studies.md.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  statsmodels==0.15.0 scipy==1.17.1 numpy==2.4.6 pandas==2.3.3 pingouin==0.7.0
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import math
import sys

import pingouin
import scipy
import statsmodels
from scipy import stats
from statsmodels.stats.power import TTestPower

pairs = (3, 5, 10, 20, 40)
powers = [float(TTestPower().power(effect_size=2, nobs=n, alpha=0.05)) for n in pairs]
others = [float(pingouin.power_ttest(d=2, n=n, contrast="paired")) for n in pairs]
needed = {effect: float(TTestPower().solve_power(effect_size=effect, alpha=0.05, power=0.8)) for effect in (2, 6, 7)}
tails = [float(stats.nct.cdf(-2.1, 9, shift)) for shift in (6.0, 9.0, 13.0)]
print("statsmodels", statsmodels.__version__, "scipy", scipy.__version__, "pingouin", pingouin.__version__)
print(f"power of two deviations with {pairs} pairs: {powers}")
print(f"by pingouin: {others}")
print(f"pairs for a power of 0.8, by effect: {needed}")
print(f"scipy.stats.nct.cdf(-2.1, 9, shift) for shifts of 6, 9 and 13: {tails}")
seen = math.isnan(powers[3]) and powers[4] == 1 and math.isnan(needed[7]) and math.isnan(tails[2])
sys.exit(0 if seen and not any(map(math.isnan, [*powers[:3], *others, *tails[:2]])) else 1)
PYTHON
