"""What the batches of a training are made of: images as they are stored, which `TrainingBatches` brings to its size."""

from noisy_student.data.labelled import LabelledImages
from noisy_student.data.probs import AtRows, ShardedProbs
from noisy_student.data.views import Images
from noisy_student.runtime.types import Probs, Rows
from noisy_student.settings.schema import StudentParams, TrainingParams
from noisy_student.training.batches import Share
from noisy_student.training.examples import ConcatenatedExamples, LabelledExamples, PseudoLabelledExamples


def teacher_shares(training: TrainingParams, labelled: LabelledImages, *, classes: int) -> list[Share]:
    """What a teacher's batches are made of: labelled images only."""
    smoothing = training.label_smoothing
    examples = LabelledExamples(labelled.images, labelled.labels, classes=classes, smoothing=smoothing)
    return [Share("labelled", examples, training.batch_size)]


def student_shares(
    student: StudentParams,
    labelled: LabelledImages,
    *,
    unlabelled: Images,
    probs: Probs | ShardedProbs | AtRows,
    rows: Rows | None,
    kind: str,
    classes: int,
) -> list[Share]:
    """What a student's batches are made of, by `student.mix`; see `PseudoLabelledExamples`.

    The rows of the pool are None where no pseudo-labels are used.
    """
    shares = teacher_shares(student, labelled, classes=classes)
    if not student.uses_pseudo_labels or rows is None:
        return shares
    pseudo = PseudoLabelledExamples(unlabelled, probs, rows, kind=kind, smoothing=student.label_smoothing)
    if student.mix == "pseudo":
        return [Share("pseudo", pseudo, student.batch_size)]
    if student.mix == "concat":
        both = ConcatenatedExamples([shares[0].examples, pseudo])
        return [Share("concatenated", both, student.batch_size)]
    return [*shares, Share("pseudo", pseudo, student.unlabelled_batch_size, student.unlabelled_weight)]
