"""Which of a teacher's labels are kept, and how the classes are balanced."""
