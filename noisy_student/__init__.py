"""Noisy Student Training (Xie et al., arXiv:1911.04252) on Keras 3, on NumPy arrays: `import noisy_student as ns`.

    teacher = ns.train(images, labels)                   # (N, S, S, 3) uint8, (N,) classes from 0
    probs = ns.pseudo_label(teacher, pool)               # (M, K): what the teacher says of the unlabelled images
    rows = ns.balance(probs)                             # confident ones, equally many of every class
    student = ns.train(images, labels, unlabelled=pool, probs=probs, rows=rows)    # noised
    ns.evaluate(student, test_images, test_labels)["accuracy"]
    student.save("student.keras")
    ns.load("student.keras").predict(new_images)         # (N, K)
    ns.RandAugment()(images)                             # the noise of the images alone

Arguments and their defaults are those of params.yaml; the same values give the same bytes as the pipeline's stages.
Importing this package pulls in neither a deep-learning framework nor DVC; a framework is loaded when something is
trained, loaded or predicted. Errors are `ns.UserError`.
"""

from typing import TYPE_CHECKING

__all__ = ["Model", "RandAugment", "UserError", "balance", "evaluate", "load", "pseudo_label", "train"]

if TYPE_CHECKING:
    from noisy_student.api import Model, RandAugment, UserError, balance, evaluate, load, pseudo_label, train
else:

    def __getattr__(name):
        """A name of `noisy_student.api`, which is imported when the first one is asked for: no stage does."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module("noisy_student.api"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__} - {"TYPE_CHECKING"})
