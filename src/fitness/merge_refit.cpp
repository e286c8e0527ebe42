#include "fitness/merge_subspace.hpp"

namespace qcqa {

const MergeMethod kRefitMerge{
    .kind = MergeKind::refit,
    .name = "refit",
    .help = "subspace, then layer by layer what follows the heads refitted in closed form; needs --calibrate",
    .sentence =
        "They span the\nbest shared subspace. The projections that follow were then refitted by least squares, layer "
        "by "
        "layer, to the\noriginal's activations; `qcqa-report.json` says how near they came.",
    .text = TextUse::needed,
    .is_fitted = true,
    .fitness = FitnessKind::subspace,
    .share = share_subspace,
    .loss = subspace_loss};

}  // namespace qcqa
