"""What `import noisy_student as ns` offers; no stage imports it, and importing it loads no framework."""

from noisy_student.api.modelling import Model, evaluate, load, pseudo_label
from noisy_student.api.noise import RandAugment
from noisy_student.api.selection import balance
from noisy_student.api.training import train
from noisy_student.runtime.errors import UserError

__all__ = ["Model", "RandAugment", "UserError", "balance", "evaluate", "load", "pseudo_label", "train"]
