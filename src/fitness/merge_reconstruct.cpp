#include "fitness/merge_subspace.hpp"

namespace qcqa {

const MergeMethod kReconstructMerge{
    .kind = MergeKind::reconstruct,
    .name = "reconstruct",
    .help = "refit, then each layer fitted further to the original's; needs --calibrate",
    .sentence =
        "Each layer\nwas then fitted to the original's activations, one after another; `qcqa-report.json` says "
        "how near they came,\nand whether all were then distilled together.",
    .text = TextUse::needed,
    .is_fitted = true,
    .takes_steps = true,
    .fitness = FitnessKind::subspace,
    .share = share_subspace,
    .loss = subspace_loss};

}  // namespace qcqa
