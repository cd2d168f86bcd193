"""An estimator becomes an immutable version folder: infer, convert, check equality, write; and the doctor."""
