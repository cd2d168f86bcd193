"""The reviewed list: types beyond skops' own list that a served file may hold. docs/adr/0003-trusted-types.md says why.

skops names a type here «untrusted» when it has not looked at it, or when its *contents* can crash the process although
its type is harmless. Nothing on this list runs code of the file; what can crash is checked after loading, in
``structure``. Names are spelled out: a type that scikit-learn adds tomorrow is refused until someone has read it.
"""

from __future__ import annotations

# Arrays of nodes that compiled code follows by index without looking: every index is checked by ``structure``.
_TREES = (
    "sklearn.tree._tree.Tree",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
)

# The same for neighbour search: ranges of points and of nodes, checked by ``structure``.
_NEIGHBOUR_TREES = (
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neighbors._kd_tree.KDTree32",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._ball_tree.BallTree32",
)

# Distances without state, and Minkowski, whose weights ``structure`` measures. Those left out (Mahalanobis, seuclidean,
# a Python function) hold matrices that compiled code reads unchecked, or call back into Python.
_DISTANCES = (
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.metrics._dist_metrics.EuclideanDistance32",
    "sklearn.metrics._dist_metrics.ManhattanDistance64",
    "sklearn.metrics._dist_metrics.ManhattanDistance32",
    "sklearn.metrics._dist_metrics.ChebyshevDistance64",
    "sklearn.metrics._dist_metrics.ChebyshevDistance32",
    "sklearn.metrics._dist_metrics.MinkowskiDistance64",
    "sklearn.metrics._dist_metrics.MinkowskiDistance32",
)

# Plain Python over numpy arrays: parts of calibrated classifiers, of Gaussian processes and of bisecting k-means, the
# link functions of generalised linear models, and a dict with attributes.
_PLAIN_PARTS = (
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.calibration._TemperatureScaling",
    "sklearn.cluster._bisect_k_means._BisectingTree",
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    "sklearn.gaussian_process.kernels.ConstantKernel",
    "sklearn.gaussian_process.kernels.DotProduct",
    "sklearn.gaussian_process.kernels.Exponentiation",
    "sklearn.gaussian_process.kernels.ExpSineSquared",
    "sklearn.gaussian_process.kernels.Matern",
    "sklearn.gaussian_process.kernels.Product",
    "sklearn.gaussian_process.kernels.RBF",
    "sklearn.gaussian_process.kernels.RationalQuadratic",
    "sklearn.gaussian_process.kernels.Sum",
    "sklearn.gaussian_process.kernels.WhiteKernel",
    "sklearn.impute._iterative.IterativeImputer",
    "sklearn.impute._iterative._ImputerTriplet",
    "sklearn._loss.loss.HalfTweedieLoss",
    "sklearn._loss.loss.HalfTweedieLossIdentity",
    "sklearn.utils._bunch.Bunch",
)

# What fitting left behind and prediction does not touch: optimisers, scorers, splitters, scoring functions.
_LEFT_FROM_FITTING = (
    "sklearn.cluster._kmeans._kmeans_single_elkan",
    "sklearn.cluster._kmeans._kmeans_single_lloyd",
    "sklearn.feature_selection._mutual_info.mutual_info_classif",
    "sklearn.feature_selection._mutual_info.mutual_info_regression",
    "sklearn.feature_selection._univariate_selection.chi2",
    "sklearn.feature_selection._univariate_selection.f_classif",
    "sklearn.feature_selection._univariate_selection.f_regression",
    "sklearn.metrics._classification.balanced_accuracy_score",
    "sklearn.metrics._scorer._CurveScorer",
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.metrics._scorer._Scorer",
    "sklearn.model_selection._split.KFold",
    "sklearn.model_selection._split.StratifiedKFold",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.utils._metadata_requests.MetadataRequest",
    "sklearn.utils._metadata_requests.MethodMetadataRequest",
)

# Column selection by dtype, resolved when the transformer was fitted; dtypes themselves, stored as empty arrays.
_DTYPES = (
    "numpy.dtype",
    "numpy.number",
    "sklearn.compose._column_transformer.make_column_selector",
)

# Histogram boosting on data frames keeps ``partial(check_array, ...)``. The function inside a partial has to be trusted
# itself, and no function on either list does more than compute on the arrays it is given.
_FUNCTIONS = (
    "functools.partial",
    "sklearn.utils.validation.check_array",
)

TRUSTED_TYPES: tuple[str, ...] = (
    *_TREES,
    *_NEIGHBOUR_TREES,
    *_DISTANCES,
    *_PLAIN_PARTS,
    *_LEFT_FROM_FITTING,
    *_DTYPES,
    *_FUNCTIONS,
)
