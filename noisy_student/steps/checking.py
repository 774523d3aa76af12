"""Check parameters and inputs wholly, before any work is done and before DVC reads them.

DVC drops generations with odd keys silently, and its message for a missing folder names no parameter. A stage checks
the networks or the source only if it uses them, so that it does not depend on the code of all; here both are.
"""

from noisy_student.models.checks import network_faults
from noisy_student.pseudo_labels.balancing import rule_of
from noisy_student.runtime.errors import ParamsError
from noisy_student.settings import params
from noisy_student.sources.loading import source_faults


def check_project(values: dict, where: str = "params.yaml") -> params.Params:
    """`check` parameters, and look for the files and folders that they name.

    Raises:
        ParamsError: names every parameter that is wrong, or the path.
    """
    settings = check(values, where)
    params.check_paths(settings)
    return settings


def check(values: dict, where: str = "params.yaml") -> params.Params:
    """Validate a nested dict of parameters wholly: `params.check`, then the networks and the source by their own rules.

    Raises:
        ParamsError: names every parameter that is wrong.
    """
    settings = params.check(values, where)
    params.refuse([*source_faults(settings.data), *network_faults(settings), *_rule_faults(settings)], where)
    return settings


def _rule_faults(settings):
    """What is wrong with the balancing rules, a line each."""
    sections = {"balance": settings.balance}
    sections |= {f"generations.{key}.balance": settings.generation(key).balance for key in settings.generations}
    wrong: dict[str, str] = {}
    for place, section in sections.items():
        try:
            rule_of(section, place)
        except ParamsError as error:
            wrong.setdefault(section.rule, str(error))  # of a common section once, not for every generation
    return list(wrong.values())
